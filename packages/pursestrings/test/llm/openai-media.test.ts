import OpenAI, { toFile } from 'openai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { estimateCall, meteredFetch } from '../../src/llm/index.ts';
import { rejection, until } from './fixture.ts';
import { openOpenaiBench } from './openai-fixture.ts';
import type { OpenaiBench } from './openai-fixture.ts';

/** Every price here in steps of 1e-8 USD: https://developers.openai.com/api/docs/pricing, 2026-11-22. */

async function settled(bench: OpenaiBench, literal: bigint): Promise<void> {
  expect(bench.peer.steps).toBe(literal);
  expect(await bench.spentSteps()).toBe(literal);
  expect(await bench.heldSteps()).toBe(0n);
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _event of stream);
}

const PICTURE = Buffer.alloc(5_000);

describe('embeddings', () => {
  it('cost their input, however they are asked for', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 150 }) });
    const model = 'text-embedding-3-small';
    for (const input of ['some text', ['two', 'texts'], [1, 2, 3], [[1], [2, 3]]]) {
      const answer = await bench.openai.embeddings.create({ model, input });
      // The SDK asks for base64, and unpacks it.
      expect(answer.data[0]?.embedding).toEqual([0.5, -0.25]);
    }
    // $0.02 a million: 150 tokens are 300 steps.
    await settled(bench, 4n * 300n);
  });

  it('are held at their bytes, or counted where those do not fit', async () => {
    const input = 'word '.repeat(2_000);
    const { inputTokens, outputTokens, counted } = await estimateCall({
      model: 'text-embedding-3-small',
      input,
    });
    expect({ outputTokens, counted }).toEqual({ outputTokens: 0, counted: true });
    expect(inputTokens).toBeGreaterThanOrEqual(2_000);
    expect(inputTokens).toBeLessThan(2_100);
    const short = await estimateCall({ model: 'text-embedding-3-small', input: [[1, 2, 3], [4]] });
    expect(short.inputTokens).toBeGreaterThanOrEqual(4);
  });

  it.each([{ prompt_tokens: -1, total_tokens: 5 }, { total_tokens: '9' }, {}, { total_tokens: 0 }])(
    'are charged at their hold when the usage is %o',
    async (usage) => {
      const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 3, usage }) });
      await bench.openai.embeddings.create({ model: 'text-embedding-3-small', input: 'abc' });
      expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
      expect(await bench.spentSteps()).toBeGreaterThan(0n);
    },
  );
});

describe('completions', () => {
  const model = 'gpt-3.5-turbo-instruct';

  it('cost all that was made, also what is not shown', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 10, text: 'a b c d' }) });
    const asked = { model, prompt: ['One', 'Two'], max_tokens: 4, n: 2, best_of: 3 };
    const answer = await bench.openai.completions.create(asked);
    expect(answer.choices).toHaveLength(4);
    // $1.50 and $2 a million: two prompts, three made for each, four tokens long.
    await settled(bench, 10n * 150n + 24n * 200n);
    const { outputTokens } = await estimateCall(asked);
    expect(outputTokens).toBe(24);
  });

  it('are asked for their usage when streamed, which is hidden from who did not', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 7, text: 'a b c' }) });
    const asked = { model, prompt: 'One', max_tokens: 9, stream: true } as const;
    const stream = await bench.openai.completions.create(asked);
    let text = '';
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      text += chunk.choices[0]?.text ?? '';
    }
    expect(text).toBe('a b c');
    await settled(bench, 7n * 150n + 3n * 200n);
  });

  it('are charged at their hold when cut, or by their text where the rest comes back', async () => {
    const answer = (): object => ({ inputTokens: 7, text: 'word '.repeat(50), cutAfter: 20 });
    const asked = { model, prompt: 'One', max_tokens: 400, stream: true } as const;
    const whole = await openOpenaiBench({ answer });
    await rejection(whole.openai.completions.create(asked).then(drain));
    await whole.peer.idle();
    expect(await whole.spentSteps()).toBeGreaterThanOrEqual(400n * 200n);
    const counted = await openOpenaiBench({ answer, meter: { ifAbandoned: 'release' } });
    await rejection(counted.openai.completions.create(asked).then(drain));
    await counted.peer.idle();
    expect(await counted.spentSteps()).toBeGreaterThanOrEqual(counted.peer.steps);
    expect(await counted.spentSteps()).toBeLessThan(400n * 200n);
  });

  it('are capped at sixteen tokens by OpenAI alone', async () => {
    const asked = { model, prompt: 'One' };
    expect((await estimateCall(asked)).outputTokens).toBe(16);
    const url = 'https://elsewhere.example.com/v1/completions';
    expect((await estimateCall(asked, { url })).outputTokens).toBe(4_096);
  });
});

describe('images', () => {
  it('cost their tokens, text and image apart', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ inputTokens: 12, outputImageTokens: 272, text: 'a b c' }),
    });
    await bench.openai.images.generate({
      model: 'gpt-image-1.5',
      prompt: 'A purse',
      quality: 'low',
      size: '1024x1024',
      n: 2,
    });
    // $5 for text in, $32 for images out, $10 for text out.
    await settled(bench, 12n * 500n + 2n * 272n * 3_200n + 3n * 1_000n);
  });

  it('are edited from a form, with what is given billed as images', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ inputTokens: 9, inputImageTokens: 323, outputImageTokens: 1_056 }),
    });
    const image = [
      await toFile(PICTURE, 'a.png', { type: 'image/png' }),
      await toFile(PICTURE, 'b.png', { type: 'image/png' }),
    ];
    const asked = {
      model: 'gpt-image-1-mini',
      image,
      prompt: 'Mend it',
      quality: 'medium',
    } as const;
    await bench.openai.images.edit(asked);
    // $2 for text in, $2.50 for images in, $8 for images out.
    await settled(bench, 9n * 200n + 323n * 250n + 1_056n * 800n);
    const [charge] = await bench.charges();
    // Each at its most in high fidelity, and the image that is made.
    expect(charge?.held?.tokens).toBeGreaterThanOrEqual(2 * (65 + 129 + 6_144) + 1_584);
  });

  it('are settled by the last event of a stream, generated and edited', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ inputTokens: 9, outputImageTokens: 900 }),
    });
    const shared = { model: 'gpt-image-2', prompt: 'A purse', stream: true } as const;
    const stream = await bench.openai.images.generate({
      ...shared,
      partial_images: 2,
      size: '1024x1024',
      quality: 'low',
    });
    await drain(stream);
    const image = await toFile(PICTURE, 'a.png', { type: 'image/png' });
    await drain(await bench.openai.images.edit({ ...shared, image, quality: 'low' }));
    await settled(bench, 2n * (9n * 500n + 900n * 3_000n));
  });

  it('are charged at their hold when nobody says what they used', async () => {
    const bench = await openOpenaiBench({
      answer: ({ body }) => (body.stream === true ? { cutAfter: 0 } : { usage: 'none' }),
    });
    const asked = {
      model: 'gpt-image-1-mini',
      prompt: 'A purse',
      quality: 'low',
      size: '1024x1024',
    } as const;
    await bench.openai.images.generate(asked);
    await rejection(bench.openai.images.generate({ ...asked, stream: true }).then(drain));
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it.each([
    // https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency, 2026-11-22.
    ['gpt-image-1-mini', 'low', '1024x1024', 272],
    ['gpt-image-1-mini', 'medium', '1024x1536', 1_584],
    ['gpt-image-1-mini', 'high', '1536x1024', 6_240],
    ['gpt-image-1-mini', 'auto', 'auto', 6_240],
    // https://community.openai.com/t/1379464, 2026-11-22.
    ['gpt-image-2', 'high', '1024x1024', 7_024],
    ['gpt-image-2', 'high', '1536x1024', 5_488],
    ['gpt-image-2', 'high', '3584x2048', 12_329],
  ])('hold for the tokens that are published: %s %s %s', async (model, quality, size, tokens) => {
    const asked = { model, quality, size, prompt: 'A purse' };
    expect((await estimateCall(asked)).outputTokens).toBe(tokens);
    const more = await estimateCall({ ...asked, n: 3, stream: true, partial_images: 2 });
    expect(more.outputTokens).toBe(3 * (tokens + 200));
  });

  it('hold for the dearest image where size and quality are left to the model', async () => {
    const { outputTokens } = await estimateCall({ model: 'gpt-image-2', prompt: 'A purse' });
    expect(outputTokens).toBe(23_719);
  });

  it('are refused where nobody says how many tokens they have, until the book does', async () => {
    const asked = { model: 'gpt-image-2.6-flare', prompt: 'A purse' };
    await expect(estimateCall(asked)).rejects.toThrow('maxOutputTokens');
    const usdPerMillion = { input: 5, inputImage: 8, output: 30 };
    const prices = { 'gpt-image-2.6-flare': { usdPerMillion, maxOutputTokens: 30_000 } };
    expect((await estimateCall(asked, { prices })).outputTokens).toBe(30_000);
  });

  it('by the piece are refused by name, or cost what the book says', async () => {
    const bench = await openOpenaiBench();
    const asked = { model: 'dall-e-3', prompt: 'A purse', n: 2 };
    const refused = await rejection(bench.openai.images.generate(asked));
    expect(refused).toMatchObject({ status: 400, code: 'price_unknown' });
    const usdPerMillion = { input: 0, output: 0 };
    const metered = meteredFetch(bench.purse, {
      prices: { 'dall-e-3': { usdPerMillion, usdPerPiece: { images: '0.04' } } },
      fetch: () =>
        Promise.resolve(Response.json({ created: 1, data: [{ url: 'x' }, { url: 'y' }] })),
    });
    const url = 'https://api.openai.com/v1/images/generations';
    await metered(url, { method: 'POST', body: JSON.stringify(asked) });
    expect(await bench.spentSteps()).toBe(2n * 4_000_000n);
  });
});

describe('speech', () => {
  it('costs its characters, or its tokens', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ inputTokens: 6, text: 'a b c d e' }) });
    const { openai } = bench;
    const speech = await openai.audio.speech.create({
      model: 'tts-1',
      voice: 'ash',
      input: 'Grüße 🌷',
    });
    expect((await speech.arrayBuffer()).byteLength).toBe(64);
    // Seven characters at $15 a million.
    await settled(bench, 7n * 1_500n);
    const told = await openai.audio.speech.create({
      model: 'gpt-4o-mini-tts',
      voice: 'ash',
      input: 'Say it',
      stream_format: 'sse',
    });
    expect(await told.text()).toContain('speech.audio.done');
    // $0.60 and $12 a million.
    await settled(bench, 7n * 1_500n + 6n * 60n + 5n * 1_200n);
  });

  it('is charged at its bound when the answer does not say', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ inputTokens: 4, text: 'a '.repeat(60) }),
    });
    await bench.openai.audio.speech.create({
      model: 'gpt-4o-mini-tts',
      voice: 'ash',
      input: 'Call 0041 31 123 45 67 at once',
    });
    expect(await bench.spentSteps()).toBeGreaterThanOrEqual(bench.peer.steps);
    expect(await bench.heldSteps()).toBe(0n);
  });
});

describe('transcriptions', () => {
  const speech = (): Promise<File> => toFile(Buffer.alloc(40_000), 'a.mp3', { type: 'audio/mpeg' });

  it('cost their tokens, whole and streamed', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ inputTokens: 5, seconds: 4, text: 'a b c' }),
    });
    const model = 'gpt-4o-transcribe';
    const whole = await bench.openai.audio.transcriptions.create({ model, file: await speech() });
    expect(whole.text).toBe('a b c');
    const stream = await bench.openai.audio.transcriptions.create({
      model,
      file: await speech(),
      stream: true,
    });
    await drain(stream);
    // $2.50 for text in, $6 for audio in, $10 out; 40 tokens of audio.
    await settled(bench, 2n * (5n * 250n + 40n * 600n + 3n * 1_000n));
  });

  it('cost their seconds, each begun one whole', async () => {
    const bench = await openOpenaiBench({
      answer: () => ({ seconds: 12.3 }),
    });
    const { openai } = bench;
    const file = await speech();
    await openai.audio.transcriptions.create({ model: 'whisper-1', file });
    const response_format = 'verbose_json';
    await openai.audio.transcriptions.create({ model: 'whisper-1', file, response_format });
    await openai.audio.translations.create({ model: 'whisper-1', file, response_format });
    // $0.006 a minute: 10,000 steps a second.
    await settled(bench, 3n * 13n * 10_000n);
  });

  it('cost what their file may hold when the answer does not say how long it was', async () => {
    const bench = await openOpenaiBench({ answer: () => ({ seconds: 40 }) });
    const response_format = 'text';
    const file = await speech();
    await bench.openai.audio.transcriptions.create({ model: 'whisper-1', file, response_format });
    // 40,000 bytes are 40 seconds at the lowest rate of MP3, and 54 at that of Opus.
    expect(await bench.spentSteps()).toBe(55n * 10_000n);
    expect(bench.peer.steps).toBe(40n * 10_000n);
  });
});

describe('a denial', () => {
  const calls: readonly [string, (openai: OpenAI) => Promise<unknown>][] = [
    [
      'embeddings',
      (openai) =>
        openai.embeddings.create({ model: 'text-embedding-3-small', input: 'word '.repeat(900) }),
    ],
    [
      'completions',
      (openai) =>
        openai.completions.create({
          model: 'gpt-3.5-turbo-instruct',
          prompt: 'x',
          max_tokens: 900,
        }),
    ],
    ['images.generate', (openai) => openai.images.generate({ model: 'gpt-image-2', prompt: 'x' })],
    [
      'images.edit',
      async (openai) =>
        openai.images.edit({
          model: 'gpt-image-2',
          prompt: 'x',
          image: await toFile(PICTURE, 'a.png'),
        }),
    ],
    [
      'speech',
      (openai) =>
        openai.audio.speech.create({ model: 'tts-1', voice: 'ash', input: 'a longer text' }),
    ],
    [
      'transcriptions',
      async (openai) =>
        openai.audio.transcriptions.create({
          model: 'whisper-1',
          file: await toFile(PICTURE, 'a.mp3'),
        }),
    ],
    [
      'translations',
      async (openai) =>
        openai.audio.translations.create({
          model: 'whisper-1',
          file: await toFile(PICTURE, 'a.mp3'),
        }),
    ],
    ['responses', (openai) => openai.responses.create({ model: 'gpt-5', input: 'x' })],
  ];

  it.each(calls)('is raised at once by %s, and nothing leaves', async (_name, call) => {
    const bench = await openOpenaiBench({
      limits: [{ name: 'all', cap: { usd: 0.00001 } }],
      client: { maxRetries: 4 },
    });
    const error = await rejection(call(bench.openai));
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: 402 });
    expect(BudgetExceededError.from(error)?.denial).toMatchObject({ limit: 'all', unit: 'usd' });
    expect(bench.peer.requests).toBe(0);
  });

  it.each(calls)('is no charge when the provider refuses: %s', async (_name, call) => {
    const bench = await openOpenaiBench({ answer: () => ({ status: 429 }) });
    await rejection(call(bench.openai));
    await until(async () => (await bench.heldSteps()) === 0n);
    expect(await bench.charges()).toEqual([]);
  });
});
