import { describe, expect, it } from 'vitest';

import {
  buildAnthropicUsage,
  buildOpenAIUsage,
  createFixedClock,
  estimator,
  type ExceededEvent,
  FakeSpendStore,
  fileStore,
  guard,
  guardAnthropic,
  guardGemini,
  type GuardOptions,
  guardOpenAI,
  MemoryStore,
  type RejectedEvent,
  type RetryStormEvent,
  simulateConcurrentIncrements,
  type SpendEvent,
  spentTotal,
  type ThresholdEvent,
  tokenizerMultiplier,
} from '../../../src/llm/guard/index.ts';
import { rejection } from '../fixture.ts';
import { fakeClient, newProject, type Request, watchConsole } from './fixture.ts';

const REQUEST: Request = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] };

function kit(options: Partial<GuardOptions<Request>> = {}) {
  const project = newProject();
  const store = new MemoryStore();
  const client = fakeClient();
  const ai = guard(client, { project, dailyCapUSD: 2, store, ...options });
  return { project, store, client, ai };
}

describe('onExceeded and onRejected', () => {
  it('are told of a refused call, with the request to send it again', async () => {
    const exceeded: ExceededEvent[] = [];
    const rejected: RejectedEvent<Request>[] = [];
    const { ai, project, store, client } = kit({
      dailyCapUSD: 1,
      estimateUsage: () => ({ input: 0, output: 100_000 }),
      onExceeded: (event) => exceeded.push(event),
      onRejected: (event) => rejected.push(event),
    });
    await ai.create(REQUEST);
    await rejection(ai.create(REQUEST, { feature: 'chat' }));
    const cap = { project, spentUsd: 1, capUsd: 1 };
    expect(exceeded).toEqual([cap]);
    expect(rejected).toEqual([
      { ...cap, feature: 'chat', model: 'gpt-4o', args: REQUEST, estimatedUsd: 1 },
    ]);
    store.clear();
    for (const { args, feature } of rejected) await ai.create(args, { feature });
    expect(client.calls).toBe(2);
  });

  it("are told apart under 'warn': the call was not rejected", async () => {
    watchConsole();
    const exceeded: ExceededEvent[] = [];
    const rejected: unknown[] = [];
    const { ai } = kit({
      dailyCapUSD: 0,
      onCap: 'warn',
      onExceeded: (event) => exceeded.push(event),
      onRejected: (event) => rejected.push(event),
    });
    await ai.create(REQUEST);
    expect(exceeded).toHaveLength(1);
    expect(rejected).toHaveLength(0);
  });
});

describe('onThreshold', () => {
  it('is told once a period', async () => {
    const events: ThresholdEvent[] = [];
    let now = createFixedClock('2026-03-01T12:00:00Z');
    const project = newProject();
    const options = {
      project,
      dailyCapUSD: 5,
      store: new MemoryStore(),
      onThreshold: (event: ThresholdEvent) => events.push(event),
    };
    const ai = guard(fakeClient(), options, { now: () => now() });
    for (let count = 0; count < 3; count += 1) await ai.create(REQUEST);
    expect(events).toEqual([]);
    await ai.create(REQUEST);
    await ai.create(REQUEST);
    expect(events).toEqual([{ project, spentUsd: 4, capUsd: 5, threshold: 0.8 }]);
    now = createFixedClock('2026-03-02T12:00:00Z');
    for (let count = 0; count < 4; count += 1) await ai.create(REQUEST);
    expect(events).toHaveLength(2);
  });

  it('is reckoned exactly: seven tenths of a cap of 1 are 0.7', async () => {
    const events: ThresholdEvent[] = [];
    const client = fakeClient({ input: 0, output: 10_000 });
    const ai = guard(client, {
      project: newProject(),
      dailyCapUSD: 1,
      thresholdFraction: 0.7,
      onThreshold: (event) => events.push(event),
    });
    for (let count = 0; count < 6; count += 1) await ai.create(REQUEST);
    expect(events).toHaveLength(0);
    await ai.create(REQUEST);
    expect(events).toMatchObject([{ spentUsd: 0.7, threshold: 0.7 }]);
  });
});

describe('retry storms', () => {
  it('are told once a streak of one feature and model, and counted', async () => {
    const storms: RetryStormEvent[] = [];
    const spent: SpendEvent[] = [];
    const project = newProject();
    let fails = true;
    const client = {
      create: async ({ model }: Request) => {
        if (fails) throw new Error(`${model} is down`);
        return { usage: buildOpenAIUsage({ completion_tokens: 10 }) };
      },
    };
    const ai = guard(client, {
      project,
      dailyCapUSD: 5,
      retryStormThreshold: 3,
      onRetryStorm: (event) => storms.push(event),
      onSpend: (event) => spent.push(event),
    });
    for (let count = 0; count < 5; count += 1) await rejection(ai.create(REQUEST));
    await rejection(ai.create(REQUEST, { feature: 'other' }));
    expect(storms).toEqual([
      { project, feature: 'default', model: 'gpt-4o', consecutiveFailures: 3 },
    ]);
    expect(ai.retryStats()).toEqual({ totalRetries: 6, retryStorms: 1 });
    fails = false;
    await ai.create(REQUEST);
    await ai.create(REQUEST);
    expect(spent.map(({ retryCount }) => retryCount)).toEqual([5, undefined]);
  });

  it('do not count what the cap refuses', async () => {
    const { ai } = kit({ dailyCapUSD: 0, retryStormThreshold: 1 });
    await rejection(ai.create(REQUEST));
    expect(ai.retryStats()).toEqual({ totalRetries: 0, retryStorms: 0 });
  });
});

describe('estimator', () => {
  it('counts the text, the tools and the cap of a request', () => {
    const estimate = estimator();
    const messages = [{ role: 'user', content: 'x'.repeat(400) }];
    expect(estimate({ model: 'gpt-4o', messages })).toEqual({ input: 100, output: 0 });
    const parts = [{ role: 'user', content: [{ type: 'text', text: 'x'.repeat(40) }] }];
    const anthropic = { model: 'claude-sonnet-4', max_tokens: 9, messages: parts };
    expect(estimate(anthropic)).toEqual({ input: 10, output: 9 });
    const gemini = {
      model: 'gemini-2.5-flash',
      contents: 'x'.repeat(40),
      config: { maxOutputTokens: 7 },
    };
    expect(estimate(gemini)).toEqual({ input: 10, output: 7 });
    const tools = [{ name: 'x'.repeat(400) }];
    expect(estimate({ model: 'gpt-4o', messages, tools }).input).toBeGreaterThan(200);
  });

  it('counts by the tokenizer it is given, and more for models that make more of a text', () => {
    const estimate = estimator({ countTokens: (text) => text.length, defaultOutput: 50 });
    const messages = [{ role: 'user', content: 'hello' }];
    expect(estimate({ model: 'gpt-4o', messages })).toEqual({ input: 5, output: 50 });
    expect(estimate({ model: 'claude-sonnet-5-5', messages })).toEqual({ input: 7, output: 50 });
    expect(tokenizerMultiplier('claude-opus-4-5')).toBe(1);
    expect(tokenizerMultiplier('claude-opus-4-8')).toBe(1.3);
    expect(tokenizerMultiplier('somebody-else')).toBe(1.3);
  });

  it('stops calls before the cap', async () => {
    const { ai, client } = kit({ dailyCapUSD: 1.5, estimateUsage: estimator() });
    await ai.create({ ...REQUEST, max_tokens: 100_000 });
    await rejection(ai.create({ ...REQUEST, max_tokens: 100_000 }));
    expect(client.calls).toBe(1);
  });
});

describe('the guards of one provider', () => {
  it.each([
    ['guardOpenAI', guardOpenAI, true],
    ['guardAnthropic', guardAnthropic, false],
    ['guardGemini', guardGemini, false],
  ])('%s knows how its streams tell their usage', async (_, guardOf, asks) => {
    const seen: object[] = [];
    const client = {
      create: async (args: Request) => {
        seen.push(args);
        return { usage: buildAnthropicUsage({ output_tokens: 1 }) };
      },
    };
    const ai = guardOf(client, { project: newProject(), dailyCapUSD: 5 });
    await ai.create({ ...REQUEST, stream: true });
    expect('stream_options' in (seen[0] ?? {})).toBe(asks);
  });
});

describe('helpers for tests', () => {
  it('write down what is asked of a store', async () => {
    const store = new FakeSpendStore();
    const project = newProject();
    const ai = guard(fakeClient(), { project, dailyCapUSD: 5, store });
    await ai.create(REQUEST);
    expect(await spentTotal(project, store)).toBe(1);
    expect(store.ops.map(({ op }) => op)).toContain('add');
    store.clear();
    expect(store.ops).toEqual([]);
    expect(await simulateConcurrentIncrements(new MemoryStore(), 'k', 10, 0.1)).toBe(1);
  });

  it('refuse a clock of no time', () => {
    expect(() => createFixedClock('never')).toThrow(/ISO/);
  });
});

describe('fileStore', () => {
  it('names the store of a file', () => {
    expect(fileStore('./spend.db')).toBe('sqlite:./spend.db');
    expect(() => fileStore('')).toThrow(/path/);
    const options = { project: 'p', dailyCapUSD: 1, store: 'mysql://nobody' };
    const ai = guard(fakeClient(), options);
    return expect(ai.create(REQUEST)).rejects.toThrow(/mysql/);
  });
});
