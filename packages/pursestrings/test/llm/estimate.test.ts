import fc from 'fast-check';
import { countTokens as countWhole } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';

import { InvalidOptionError } from '../../src/errors.ts';
import { estimateCall } from '../../src/llm/index.ts';
import { countTokens } from '../../src/llm/tokenizer.ts';
import { ask } from './fixture.ts';

const NO_SPECIALS = { disallowedSpecial: new Set<string>() };

/** What OpenAI says a conversation costs: 3 tokens a message, 1 a name, 3 for the reply. */
function chatTokens(messages: readonly { content: string; name?: string }[]): number {
  return messages.reduce(
    (sum, { content, name }) =>
      sum + 4 + countWhole(content, NO_SPECIALS) + (name === undefined ? 0 : 1 + countWhole(name)),
    3,
  );
}

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.lorem({ maxCount: 60 }),
  fc.string({ maxLength: 40 }).map((piece) => piece.repeat(30)),
  fc.constantFrom('<|endoftext|>', '日本語'.repeat(80), '\n'.repeat(300), 'x'.repeat(500)),
);

describe('an estimate of the input', () => {
  it('is never under the tokens of any conversation, by its bytes or counted', async () => {
    const message = fc.record({ content: text, name: fc.constantFrom('ann', 'bob') });
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 4 }), async (messages) => {
        const conversation = messages.map((each) => ({ role: 'user', ...each }));
        const real = chatTokens(messages);
        const small = await estimateCall({ ...ask(), messages: conversation });
        expect(small.inputTokens).toBeGreaterThanOrEqual(real);
        const padding = { role: 'user', content: 'padding '.repeat(600) };
        const long = await estimateCall({ ...ask(), messages: [...conversation, padding] });
        expect(long.counted).toBe(true);
        expect(long.inputTokens).toBeGreaterThanOrEqual(real + 600);
      }),
      { numRuns: 60 },
    );
  });

  it('never counts under the whole text, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.nat({ max: 40 }), async (piece, times) => {
        const whole = piece.repeat(times);
        const counted = (await countTokens('gpt-4o', [whole])) ?? 0;
        expect(counted).toBeGreaterThanOrEqual(countWhole(whole, NO_SPECIALS));
      }),
      { numRuns: 60 },
    );
  });

  it('counts plain text closely, and runs without spaces quickly', async () => {
    const content = 'The quick brown fox jumps over the lazy dog. '.repeat(2_000);
    const real = countWhole(content);
    const { inputTokens } = await estimateCall(ask({ messages: [{ role: 'user', content }] }));
    expect(inputTokens).toBeLessThan(real * 1.02 + 60);
    const hard = await estimateCall(
      ask({ messages: [{ role: 'user', content: '漢'.repeat(100_000) }] }),
    );
    expect(hard.counted).toBe(true);
  });

  it('leaves the bytes where the output outweighs them, or no encoding is known', async () => {
    const content = 'word '.repeat(2_000);
    const messages = [{ role: 'user', content }];
    const long = await estimateCall(ask({ messages, max_completion_tokens: 16_000 }));
    expect(long.counted).toBe(false);
    const prices = { mine: { usdPerMillion: { input: 1, output: 1 } } };
    const unknown = await estimateCall(ask({ messages, model: 'mine' }), { prices });
    expect(unknown.counted).toBe(false);
    expect(unknown.inputTokens).toBeGreaterThan(content.length);
  });

  it('counts tools, schemas, tool calls and every part of a message', async () => {
    const plain = (await estimateCall(ask({ messages: [{ role: 'user', content: '' }] })))
      .inputTokens;
    const described = 'what it does, at length '.repeat(40);
    const bodies = [
      { tools: [{ type: 'function', function: { name: 'f', description: described } }] },
      { response_format: { type: 'json_schema', json_schema: { name: described } } },
      { messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: described } }] }] },
      { messages: [{ role: 'user', content: [{ type: 'text', text: described }] }] },
      { messages: [{ role: 'tool', tool_call_id: 'x', content: described }] },
    ];
    for (const body of bodies) {
      const small = await estimateCall(ask(body));
      expect(small.inputTokens - plain).toBeGreaterThan(countWhole(described));
      const padded = { ...ask(body) };
      padded.messages = [...padded.messages, { role: 'user', content: 'padding '.repeat(600) }];
      const counted = await estimateCall(padded);
      expect(counted.counted).toBe(true);
      expect(counted.inputTokens).toBeGreaterThan(countWhole(described) + 600);
    }
  });

  it.each([
    ['gpt-4o', 'high', 1_445],
    ['gpt-4o', 'low', 85],
    ['gpt-4o-mini', 'high', 48_169],
    ['gpt-4.1-mini', 'high', 3_779],
  ])('bounds an image for %s in %s detail', async (model, detail, tokens) => {
    const url = `data:image/png;base64,${'A'.repeat(100_000)}`;
    const image = { type: 'image_url', image_url: { url, detail } };
    const { inputTokens } = await estimateCall(
      ask({ model, messages: [{ role: 'user', content: [image] }] }),
    );
    expect(inputTokens).toBeGreaterThanOrEqual(tokens);
    // The data is not text: its length is not what is billed.
    expect(inputTokens).toBeLessThan(tokens + 500);
  });

  it('bounds audio by its length, and what has no size by the window', async () => {
    const data = Buffer.alloc(30_000).toString('base64');
    const audio = { type: 'input_audio', input_audio: { data, format: 'mp3' } };
    const spoken = await estimateCall(
      ask({ model: 'gpt-audio', messages: [{ role: 'user', content: [audio] }] }),
    );
    // 30 s at the lowest bit rate, ten tokens a second.
    expect(spoken.inputTokens).toBeGreaterThan(300);
    expect(spoken.usd).toBeGreaterThan(300 * 32e-6);
    const file = { type: 'file', file: { file_id: 'x' } };
    const filed = await estimateCall(ask({ messages: [{ role: 'user', content: [file] }] }));
    expect(filed.inputTokens).toBe(128_000);
  });
});

describe('an estimate of the output', () => {
  it.each([
    [{ max_completion_tokens: 70 }, 70],
    [{ max_tokens: 80, max_completion_tokens: undefined }, 80],
    [{ max_completion_tokens: 70, n: 3 }, 210],
    // The model's published maximum.
    [{ max_completion_tokens: undefined }, 16_384],
    [{ max_completion_tokens: null }, 16_384],
    [{ max_completion_tokens: 50, prediction: { type: 'content', content: 'abc' } }, 84],
  ])('of %o is %i tokens', async (more, tokens) => {
    expect((await estimateCall(ask(more))).outputTokens).toBe(tokens);
  });

  it('falls to the ceiling, then to the window, and is never guessed', async () => {
    const usdPerMillion = { input: 1, output: 1 };
    const open = ask({ model: 'mine', max_completion_tokens: undefined });
    const prices = { mine: { usdPerMillion } };
    await expect(estimateCall(open, { prices })).rejects.toThrow(InvalidOptionError);
    const ceiling = await estimateCall(open, { prices, outputCeiling: 300 });
    expect(ceiling.outputTokens).toBe(300);
    const window = { mine: { usdPerMillion, contextWindow: 9_000 } };
    expect((await estimateCall(open, { prices: window })).outputTokens).toBe(9_000);
    const known = { mine: { usdPerMillion, contextWindow: 9_000, maxOutputTokens: 500 } };
    expect((await estimateCall(open, { prices: known })).outputTokens).toBe(500);
  });
});
