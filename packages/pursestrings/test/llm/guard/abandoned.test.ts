import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { guard, MemoryStore, spendReport, spentTotal } from '../../../src/llm/guard/index.ts';

/** Holds of a purse live ten minutes. */
const TTL_MS = 600_000;
const REQUEST = { model: 'gpt-4o', stream: true, max_tokens: 1_000, messages: [] };
const USAGE = { choices: [], usage: { prompt_tokens: 0, completion_tokens: 500 } };
const TODAY = '2026-03-01';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date(`${TODAY}T12:00:00Z`), toFake: ['Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function kit() {
  const store = new MemoryStore();
  const client = {
    create: async ({ model }: typeof REQUEST) =>
      (async function* () {
        yield { choices: [{ delta: { content: model }, finish_reason: 'stop' }] };
        yield USAGE;
      })(),
  };
  return { store, ai: guard(client, { project: 'p', dailyCapUSD: 5, store }) };
}

describe('a stream that nobody reads on', () => {
  it('counts as spent when its time has passed, and is corrected once it is read', async () => {
    const { store, ai } = kit();
    const stream = await ai.create(REQUEST, { feature: 'slow' });
    expect(await spentTotal('p', store)).toBe(0);
    vi.setSystemTime(Date.now() + TTL_MS + 1);
    await ai.create(REQUEST, { feature: 'next' });
    const held = await spentTotal('p', store);
    expect(held).toBeGreaterThanOrEqual(0.01);
    expect(await spendReport('p', TODAY, store)).toEqual({ slow: held });
    for await (const chunk of stream) expect(chunk).toMatchObject({ choices: [{}] });
    expect(await spendReport('p', TODAY, store)).toEqual({ slow: 0.005 });
    expect(await spentTotal('p', store)).toBe(0.005);
  });
});
