import fc from 'fast-check';
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as o200k } from 'gpt-tokenizer/encoding/o200k_base';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import { openOpenaiBench } from './openai-fixture.ts';
import type { OpenaiBench } from './openai-fixture.ts';
import type { PeerAnswer, PeerRequest } from './peers/openai-peer.ts';

const NO_SPECIALS = { disallowedSpecial: new Set<string>() };

/** All text of a value, as the model would read it. */
function tokensOf(value: unknown, count: typeof o200k): number {
  if (typeof value === 'string') return count(value, NO_SPECIALS);
  if (typeof value === 'number') return 1;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, each) => sum + tokensOf(each, count), 0);
}

/** Bills what the model's encoding makes of the request, and as much output as it allows. */
function honestly({ path, body }: PeerRequest): PeerAnswer {
  const count = path.endsWith('/responses') ? o200k : cl100k;
  const said = [body.instructions, body.input, body.prompt, body.tools, body.suffix];
  const inputTokens = said.reduce<number>((sum, each) => sum + tokensOf(each, count), 3);
  return { inputTokens, text: 'word '.repeat(100) };
}

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
  fc.lorem({ maxCount: 60 }),
  fc.constantFrom('日本語'.repeat(60), '\n'.repeat(200), 'x'.repeat(300), '🌷'.repeat(50)),
);
const cap = fc.integer({ min: 1, max: 90 });
const tool = text.map((description) => ({
  type: 'function' as const,
  name: 'f',
  description,
  strict: false,
  parameters: { type: 'object', properties: { city: { type: 'string', description } } },
}));

type Call = (openai: OpenAI) => Promise<unknown>;

const responses: fc.Arbitrary<Call> = fc
  .record({ input: text, instructions: text, tools: fc.array(tool, { maxLength: 2 }), cap })
  .map(
    ({ cap: max_output_tokens, ...body }) =>
      (openai) =>
        openai.responses.create({ model: 'gpt-5', max_output_tokens, ...body }),
  );
const embeddings: fc.Arbitrary<Call> = fc
  .oneof(text, fc.array(text, { minLength: 1, maxLength: 4 }))
  .map((input) => (openai) => openai.embeddings.create({ model: 'text-embedding-3-small', input }));
const completions: fc.Arbitrary<Call> = fc
  .record({
    prompt: fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 })),
    max_tokens: cap,
    n: fc.integer({ min: 1, max: 3 }),
    suffix: text,
  })
  .map(
    (body) => (openai) => openai.completions.create({ model: 'gpt-3.5-turbo-instruct', ...body }),
  );

async function checked(bench: OpenaiBench, call: Call): Promise<void> {
  await call(bench.openai);
  const charge = (await bench.charges()).at(-1);
  expect(charge?.held?.usd).toBeGreaterThanOrEqual(charge?.amounts.usd ?? Infinity);
  expect(charge?.held?.tokens).toBeGreaterThanOrEqual(charge?.amounts.tokens ?? Infinity);
}

describe('what is held', () => {
  it.each([
    ['responses', responses],
    ['embeddings', embeddings],
    ['completions', completions],
  ])('is never less than what is billed: %s', async (_name, calls) => {
    const bench = await openOpenaiBench({ answer: honestly });
    await fc.assert(
      fc.asyncProperty(calls, (call) => checked(bench, call)),
      { numRuns: 50 },
    );
    expect(await bench.spentSteps()).toBe(bench.peer.steps);
  });
});
