import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { ApiError, GoogleGenAI } from '@google/genai';
import { generateText, streamText } from 'ai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { estimateCall, readUsage } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { rejection, until } from './fixture.ts';
import { geminiPeer, geminiText } from './peers/gemini-peer.ts';
import type { GeminiAnswer, GeminiPeer, GeminiRequest } from './peers/gemini-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';
import type { PeerLedger } from './peers/peer-ledger.ts';

const MODEL = 'gemini-2.5-flash';

/** USD for a million tokens: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22. */
const RATES = { input: picos('0.3'), output: picos('2.5') };

const USAGE = { promptTokenCount: 9, candidatesTokenCount: 5, totalTokenCount: 14 };
const BILL = 9n * RATES.input + 5n * RATES.output;
const ANSWER: GeminiAnswer = geminiText('one two three four five', USAGE, { picos: BILL });

interface Desk extends PeerLedger {
  readonly peer: GeminiPeer;
  readonly google: GoogleGenAI;
}

interface DeskOptions {
  readonly answer?: (request: GeminiRequest) => GeminiAnswer;
  readonly limits?: readonly Limit[];
  readonly meter?: MeterOptions;
}

async function openDesk(options: DeskOptions = {}): Promise<Desk> {
  const peer = await geminiPeer(options.answer ?? (() => ANSWER));
  const ledger = await openPeerLedger(peer.url, options);
  const httpOptions = { baseUrl: peer.url, fetch: ledger.fetch };
  return { ...ledger, peer, google: new GoogleGenAI({ apiKey: 'secret-key', httpOptions }) };
}

const ASK = { model: MODEL, contents: 'Say some words', config: { maxOutputTokens: 100 } };
const POOR: readonly Limit[] = [{ name: 'all', cap: { usd: 0.0001 } }];

describe('the SDK of Google, by httpOptions.fetch', () => {
  it('is charged what was billed: whole, streamed, and in a chat', async () => {
    const desk = await openDesk();
    const answer = await desk.google.models.generateContent(ASK);
    expect(answer.usageMetadata).toMatchObject(USAGE);
    let text = '';
    for await (const chunk of await desk.google.models.generateContentStream(ASK)) {
      text += chunk.text ?? '';
    }
    expect(text).toBe('one two three four five');
    const chat = desk.google.chats.create({ model: MODEL });
    await chat.sendMessage({ message: 'Say some words' });
    for await (const chunk of await chat.sendMessageStream({ message: 'And more' })) {
      expect(chunk.candidates).toHaveLength(1);
    }
    expect(desk.peer.requests).toHaveLength(4);
    expect(await desk.spentSteps()).toBe(4n * stepsOf(BILL));
    expect(await desk.heldSteps()).toBe(0n);
  });

  it('counts tokens for nothing', async () => {
    const chunks = [{ totalTokens: 31 }];
    const desk = await openDesk({ answer: () => ({ chunks }) });
    const { totalTokens } = await desk.google.models.countTokens({ model: MODEL, contents: 'Hi' });
    expect(totalTokens).toBe(31);
    expect(await desk.charges()).toEqual([]);
  });

  it('raises its own error at once when denied, which tells the denial', async () => {
    const desk = await openDesk({ limits: POOR });
    const retryOptions = { attempts: 5, initialDelay: 0.001 };
    for (const ask of [
      () => desk.google.models.generateContent(ASK),
      () => desk.google.models.generateContentStream(ASK),
      () => desk.google.chats.create({ model: MODEL }).sendMessage({ message: 'Hi' }),
      () =>
        desk.google.models.generateContent({
          ...ASK,
          config: { ...ASK.config, httpOptions: { retryOptions } },
        }),
    ]) {
      const error = await rejection(ask());
      expect(BudgetExceededError.from(error)?.denial).toMatchObject({ limit: 'all', cap: 0.0001 });
    }
    const error = await rejection(desk.google.models.generateContent(ASK));
    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).status).toBe(402);
    expect(desk.peer.requests).toEqual([]);
  });

  it('rejects with the denial itself under onDenied: throw', async () => {
    const desk = await openDesk({ limits: POOR, meter: {} });
    const { purse } = desk;
    const ledger = await openPeerLedger(desk.peer.url, {
      limits: POOR,
      meter: { onDenied: 'throw' },
    });
    const httpOptions = { baseUrl: desk.peer.url, fetch: ledger.fetch };
    const google = new GoogleGenAI({ apiKey: 'none', httpOptions });
    const error = await rejection(google.models.generateContent(ASK));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(desk.peer.requests).toEqual([]);
    expect((await purse.report()).total).toEqual({});
  });

  it('is not charged for an error, and is for what it tries again', async () => {
    const desk = await openDesk({
      answer: ({ number }) =>
        number === 1
          ? { status: 503, chunks: [{ error: { code: 503, message: 'later', status: 'X' } }] }
          : ANSWER,
    });
    const httpOptions = { retryOptions: { attempts: 3, initialDelay: 0.001 } };
    await desk.google.models.generateContent({ ...ASK, config: { ...ASK.config, httpOptions } });
    expect(desk.peer.requests).toHaveLength(2);
    expect(await desk.spentSteps()).toBe(stepsOf(BILL));
  });

  it('is charged the hold where the answer was cut, and not less than was billed', async () => {
    const desk = await openDesk({ answer: () => ({ ...ANSWER, cutAfterChunks: 0 }) });
    await rejection(desk.google.models.generateContent(ASK));
    await until(async () => (await desk.charges()).length === 1);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(stepsOf(100n * RATES.output));
  });

  it('is charged the hold for a stream that is cut or left in the middle', async () => {
    const desk = await openDesk({
      answer: ({ number }) =>
        number === 1 ? { ...ANSWER, cutAfterChunks: 2 } : { ...ANSWER, stallAfterChunks: 2 },
    });
    const stream = await desk.google.models.generateContentStream(ASK);
    await rejection(
      (async () => {
        for await (const chunk of stream) expect(chunk.candidates).toHaveLength(1);
      })(),
    );
    const left = new AbortController();
    const config = { ...ASK.config, abortSignal: left.signal };
    await rejection(
      (async () => {
        const second = await desk.google.models.generateContentStream({ ...ASK, config });
        for await (const chunk of second) {
          expect(chunk.candidates).toHaveLength(1);
          left.abort();
        }
      })(),
    );
    await until(async () => (await desk.charges()).length === 2);
    const held = stepsOf(100n * RATES.output);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(2n * held);
    expect(await desk.heldSteps()).toBe(0n);
  });

  it('is charged what was streamed where the rest of a hold comes back', async () => {
    const desk = await openDesk({
      answer: () => ({ ...ANSWER, stallAfterChunks: 2 }),
      meter: { ifAbandoned: 'release' },
    });
    const response = await desk.fetch(
      `${desk.peer.url}/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`,
      { method: 'POST', body: JSON.stringify({ contents: [{ parts: [{ text: 'Hi' }] }] }) },
    );
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await until(async () => (await desk.charges()).length === 1);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(stepsOf(RATES.output));
    expect(await desk.spentSteps()).toBeLessThan(stepsOf(1_000n * RATES.output));
  });

  it('never shows the key to the ledger', async () => {
    const desk = await openDesk();
    await desk.google.models.generateContent(ASK);
    expect(desk.peer.requests[0]?.headers['x-goog-api-key']).toBe('secret-key');
    expect(JSON.stringify(await desk.charges())).not.toContain('secret-key');
  });
});

describe('a Gemini call', () => {
  it('is clamped to what is left, in the spelling it uses', async () => {
    // The input is held at its bytes, some 400 of them: USD 0.0001. The rest affords output.
    const limits = [{ name: 'all', cap: { usd: 0.0005 } }];
    const desk = await openDesk({ limits, meter: { whenTight: 'clamp' } });
    await desk.google.models.generateContent({ ...ASK, config: { maxOutputTokens: 8_000 } });
    const config = desk.peer.requests[0]?.body.generationConfig as { maxOutputTokens: number };
    expect(config.maxOutputTokens).toBeGreaterThan(16);
    expect(config.maxOutputTokens).toBeLessThan(200);
    await desk.fetch(`${desk.peer.url}/v1beta/models/${MODEL}:generateContent`, {
      method: 'POST',
      body: JSON.stringify({
        contents: [{ parts: [{ text: 'Hi' }] }],
        generation_config: { max_output_tokens: 8_000 },
      }),
    });
    const snake = desk.peer.requests[1]?.body.generation_config as { max_output_tokens: number };
    expect(snake.max_output_tokens).toBeLessThan(200);
  });

  it('is metered on Vertex AI, and by the SDK of Vercel', async () => {
    const desk = await openDesk();
    const vertex =
      'https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1';
    const body = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] });
    const path = `/publishers/google/models/${MODEL}:generateContent`;
    const answer = await desk.fetch(`${vertex}${path}`, { method: 'POST', body });
    expect(answer.status).toBe(200);
    const provider = createGoogleGenerativeAI({ apiKey: 'none', fetch: desk.fetch });
    const model = provider(MODEL);
    await generateText({ model, prompt: 'Hi', maxOutputTokens: 100 });
    const streamed = streamText({ model, prompt: 'Hi', maxOutputTokens: 100 });
    expect(await streamed.text).toBe('one two three four five');
    expect(await desk.spentSteps()).toBe(3n * stepsOf(BILL));
  });

  it('that is denied in the SDK of Vercel is not tried again', async () => {
    const desk = await openDesk({ limits: POOR });
    const model = createGoogleGenerativeAI({ apiKey: 'none', fetch: desk.fetch })(MODEL);
    const error = await rejection(generateText({ model, prompt: 'Hi', maxOutputTokens: 100 }));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(desk.peer.requests).toEqual([]);
  });

  it.each([
    ['models/gemini-2.5-flash:batchGenerateContent'],
    ['models/imagen-4.0-generate-001:predict'],
    ['models/veo-3.1-generate-preview:predictLongRunning'],
    ['cachedContents'],
    ['interactions'],
    ['publishers/anthropic/models/claude-opus-4-1:rawPredict'],
  ])('of another kind is refused by name: %s', async (path) => {
    const desk = await openDesk();
    const url = `https://generativelanguage.googleapis.com/v1beta/${path}`;
    const response = await desk.fetch(`${url}?key=secret-key`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).not.toContain('secret-key');
    expect(JSON.parse(text)).toMatchObject({
      error: { code: 400, message: expect.stringContaining(path), status: 'INVALID_ARGUMENT' },
    });
    expect(desk.peer.requests).toEqual([]);
  });

  it.each([
    ['a tuned model', `tunedModels/my-own:generateContent`, {}],
    [
      'a tool without a known price',
      `models/${MODEL}:generateContent`,
      { enterpriseWebSearch: {} },
    ],
    ['a map search', `models/${MODEL}:generateContent`, { google_maps: {} }],
  ])('whose price nobody knows is refused: %s', async (_, path, tool) => {
    const desk = await openDesk();
    const url = `https://generativelanguage.googleapis.com/v1beta/${path}`;
    const body = JSON.stringify({ contents: [{ parts: [{ text: 'Hi' }] }], tools: [tool] });
    const response = await desk.fetch(url, { method: 'POST', body });
    expect(response.status).toBe(400);
    expect(desk.peer.requests).toEqual([]);
  });

  it('without a cap is held at what the model writes at most', async () => {
    const bare = { model: MODEL, contents: 'Hi' };
    expect((await estimateCall(bare)).outputTokens).toBe(65_536);
    const capped = { ...bare, config: { maxOutputTokens: 10, candidateCount: 3 } };
    expect((await estimateCall(capped)).outputTokens).toBe(30);
  });

  it.each([
    ['cached content', { cachedContent: 'cachedContents/c-1' }],
    ['a file', { contents: [{ parts: [{ fileData: { fileUri: 'files/f-1' } }] }] }],
    ['what a tool finds', { config: { tools: [{ urlContext: {} }] } }],
    ['a video', { contents: [{ parts: [{ inlineData: { mimeType: 'video/mp4', data: 'AA' } }] }] }],
  ])('is held at the window for %s', async (_, more) => {
    const { inputTokens } = await estimateCall({ ...ASK, ...more });
    expect(inputTokens).toBe(1_048_576);
  });
});

describe('the bound on media', () => {
  const ofData = (mimeType: string, bytes: number): Promise<{ inputTokens: number }> => {
    const data = Buffer.alloc(bytes).toString('base64');
    return estimateCall({ ...ASK, contents: [{ parts: [{ inlineData: { mimeType, data } }] }] });
  };

  it('is 32 tokens a second of audio, at the lowest bit rate, and not much more', async () => {
    // A hundred seconds at 8 kbit/s: https://ai.google.dev/gemini-api/docs/audio#technical-details
    const { inputTokens } = await ofData('audio/mp3', 100_000);
    expect(inputTokens).toBeGreaterThanOrEqual(3_200);
    expect(inputTokens).toBeLessThan(10_000);
  });

  it('is 258 tokens a tile of an image, and so much for each page of a document', async () => {
    expect((await ofData('image/png', 100_000)).inputTokens).toBeLessThan(5_000);
    const { inputTokens } = await ofData('application/pdf', 100_000);
    expect(inputTokens).toBeGreaterThanOrEqual(258_000);
    expect(inputTokens).toBeLessThan(300_000);
  });
});

describe('a usage of Gemini that cannot be right', () => {
  const whole = { promptTokenCount: 9, candidatesTokenCount: 5, totalTokenCount: 14 };

  it.each([
    ['negative', { ...whole, candidatesTokenCount: -5 }],
    ['a text', { ...whole, promptTokenCount: '9' }],
    ['a fraction', { ...whole, thoughtsTokenCount: 0.5 }],
    ['a total that is no number', { ...whole, totalTokenCount: 'many' }],
    ['more cached than there is', { ...whole, cachedContentTokenCount: 10 }],
    [
      'more audio than there is',
      { ...whole, promptTokensDetails: [{ modality: 'AUDIO', tokenCount: 10 }] },
    ],
    ['empty', { promptTokenCount: 0, totalTokenCount: 0 }],
    ['without output or total', { promptTokenCount: 9 }],
    ['none', undefined],
  ])('is charged as the hold: %s', async (_, usageMetadata) => {
    expect(readUsage({ usageMetadata })).toBeNull();
    const content = { parts: [{ text: 'Hi' }] };
    const chunks = [{ candidates: [{ content, finishReason: 'STOP' }], usageMetadata }];
    const desk = await openDesk({ answer: () => ({ chunks }) });
    await desk.google.models.generateContent(ASK);
    for await (const chunk of await desk.google.models.generateContentStream(ASK)) {
      expect(chunk.candidates).toHaveLength(1);
    }
    const held = stepsOf(100n * RATES.output);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(2n * held);
  });

  it('is charged as the hold when the details of media are missing', async () => {
    const desk = await openDesk();
    const part = { inlineData: { mimeType: 'audio/mp3', data: 'AAAA' } };
    await desk.google.models.generateContent({ ...ASK, contents: [{ parts: [part] }] });
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(stepsOf(100n * RATES.output));
  });

  it('is charged as the hold when a stream ends before its answer does', async () => {
    const chunks = [{ candidates: [{ content: { parts: [] } }], usageMetadata: whole }];
    const desk = await openDesk({ answer: () => ({ chunks }) });
    for await (const chunk of await desk.google.models.generateContentStream(ASK)) {
      expect(chunk.usageMetadata).toBeDefined();
    }
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(stepsOf(100n * RATES.output));
  });

  it('is charged as the hold when a stream says less at its end', async () => {
    const chunks = [
      {
        candidates: [{ content: { parts: [] } }],
        usageMetadata: { ...whole, candidatesTokenCount: 50 },
      },
      { candidates: [{ finishReason: 'STOP' }], usageMetadata: whole },
    ];
    const desk = await openDesk({ answer: () => ({ chunks }) });
    for await (const chunk of await desk.google.models.generateContentStream(ASK)) {
      expect(chunk.usageMetadata).toBeDefined();
    }
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(stepsOf(100n * RATES.output));
  });
});
