import { describe, expect, it } from 'vitest';

import { BudgetExceededError as PurseBudgetExceededError } from '../../../src/errors.ts';
import {
  BudgetExceededError,
  cost,
  definePrice,
  guard,
  type GuardOptions,
  MemoryStore,
  normalizeUsage,
  PRICES,
  type SpendEvent,
  spendReport,
  spentTotal,
  type Usage,
} from '../../../src/llm/guard/index.ts';
import { rejection } from '../fixture.ts';
import { DOLLAR, fakeClient, newProject, watchConsole } from './fixture.ts';

const TODAY = new Date().toISOString().slice(0, 10);

describe('guard, as budget-guard 0.2 has it', () => {
  it('calls the client, attributes the cost, and blocks before the call once the cap is used up', async () => {
    const client = fakeClient();
    const project = newProject();
    const ai = guard(client, { project, dailyCapUSD: 2 });
    expect(await ai.create({ model: 'gpt-4o' }, { feature: 'chat' })).toEqual({
      id: 1,
      usage: DOLLAR,
    });
    await ai.create({ model: 'gpt-4o' }, { feature: 'summarize' });
    const error = await rejection(ai.create({ model: 'gpt-4o' }));
    expect(client.calls).toBe(2);
    expect(error).toBeInstanceOf(BudgetExceededError);
    expect(error).toBeInstanceOf(PurseBudgetExceededError);
    expect(error).toMatchObject({
      name: 'BudgetExceededError',
      project,
      spentUsd: 2,
      capUsd: 2,
      feature: 'default',
      model: 'gpt-4o',
      unit: 'usd',
      remaining: 0,
    });
    expect(await spendReport(project)).toEqual({ chat: 1, summarize: 1 });
    expect(await spendReport(project, TODAY)).toEqual({ chat: 1, summarize: 1 });
    expect(await spendReport(project, '2020-01-01')).toEqual({});
    expect(await spentTotal(project)).toBe(2);
  });

  it('shares the cap between guards of one project, each with a cap of its own', async () => {
    const project = newProject();
    const store = new MemoryStore();
    const wide = guard(fakeClient(), { project, dailyCapUSD: 10, store });
    const narrow = guard(fakeClient(), { project, dailyCapUSD: 2, store });
    await wide.create({ model: 'gpt-4o' });
    await narrow.create({ model: 'gpt-4o' });
    expect(await rejection(narrow.create({ model: 'gpt-4o' }))).toMatchObject({
      spentUsd: 2,
      capUsd: 2,
    });
    await wide.create({ model: 'gpt-4o' });
    expect(await spentTotal(project, store)).toBe(3);
    const other = guard(fakeClient(), { project: newProject(), dailyCapUSD: 2, store });
    await other.create({ model: 'gpt-4o' });
  });

  it('forgets by clear()', async () => {
    const project = newProject();
    const store = new MemoryStore();
    const ai = guard(fakeClient(), { project, dailyCapUSD: 1, store });
    await ai.create({ model: 'gpt-4o' });
    await expect(ai.create({ model: 'gpt-4o' })).rejects.toThrow(BudgetExceededError);
    store.clear();
    expect(await spendReport(project, TODAY, store)).toEqual({});
    await ai.create({ model: 'gpt-4o' });
    expect(store.get(`${project}|__total__|${TODAY}`)).toBe(1);
    expect(store.entries(`${project}|`)).toEqual([
      [`${project}|default|${TODAY}`, 1],
      [`${project}|__total__|${TODAY}`, 1],
    ]);
  });

  it('refuses a call whose estimate does not fit', async () => {
    const client = fakeClient();
    const ai = guard(client, {
      project: newProject(),
      dailyCapUSD: 1.5,
      store: new MemoryStore(),
      estimateUsage: (args) => ({ input: 0, output: args.max_tokens ?? 512 }),
    });
    await ai.create({ model: 'gpt-4o', max_tokens: 100_000 });
    const error = await rejection(ai.create({ model: 'gpt-4o', max_tokens: 100_000 }));
    expect(error).toMatchObject({ spentUsd: 1, capUsd: 1.5, estimatedUsd: 1, required: 1 });
    expect(client.calls).toBe(1);
    await ai.create({ model: 'gpt-4o', max_tokens: 50_000 });
  });

  it('tells onSpend what each call cost, with the total that includes it', async () => {
    const events: SpendEvent[] = [];
    const internals = { onSpend: (event: SpendEvent) => events.push(event) };
    const project = newProject();
    const ai = guard(fakeClient(), { project, dailyCapUSD: 9 }, internals);
    await ai.create({ model: 'gpt-4o' }, { feature: 'chat' });
    await ai.create({ model: 'gpt-4o' });
    const common = { project, model: 'gpt-4o', usd: 1 };
    expect(events).toEqual([
      { ...common, feature: 'chat', dayTotalUsd: 1 },
      { ...common, feature: 'default', dayTotalUsd: 2 },
    ]);
  });

  it('reads a usage by usageOf, and the time by now, at each call', async () => {
    const client = {
      create: async ({ model }: { model: string }) => ({ model, in: 0, out: 100_000 }),
    };
    let day = '2026-03-01';
    const internals = {
      now: () => new Date(`${day}T23:59:59.999Z`),
      usageOf: (answer: { in: number; out: number }): Usage => ({
        input: answer.in,
        output: answer.out,
      }),
    };
    const store = new MemoryStore();
    const ai = guard(client, { project: 'p', dailyCapUSD: 1, store }, internals);
    await ai.create({ model: 'gpt-4o' });
    await expect(ai.create({ model: 'gpt-4o' })).rejects.toThrow(BudgetExceededError);
    day = '2026-03-02';
    await ai.create({ model: 'gpt-4o' });
    expect(await spendReport('p', '2026-03-01', store)).toEqual({ default: 1 });
    expect(await spendReport('p', '2026-03-02', store)).toEqual({ default: 1 });
  });

  it("warns once a call under onCap: 'warn', and charges it in full", async () => {
    const lines = watchConsole();
    const client = fakeClient();
    const store = new MemoryStore();
    const project = newProject();
    const ai = guard(client, { project, dailyCapUSD: 1, onCap: 'warn', store });
    await ai.create({ model: 'gpt-4o' });
    expect(lines).toHaveLength(0);
    await ai.create({ model: 'gpt-4o' });
    await ai.create({ model: 'gpt-4o' });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toBe(
      `Project "${project}" has spent 1 USD of its cap of 1 USD; the call goes ahead, because onCap is 'warn'.`,
    );
    expect(client.calls).toBe(3);
    expect(await spentTotal(project, store)).toBe(3);
  });

  it('lets two calls without max_tokens fit a small cap', async () => {
    const client = fakeClient({ prompt_tokens: 10, completion_tokens: 10 });
    const ai = guard(client, { project: newProject(), dailyCapUSD: 0.01 });
    await ai.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] });
    await ai.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] });
    expect(client.calls).toBe(2);
  });

  it('is the client itself in all else', async () => {
    class Client {
      #calls = 0;
      get calls(): number {
        return this.#calls;
      }
      async create({ model }: { model: string }) {
        this.#calls += 1;
        return { model, usage: DOLLAR };
      }
      [Symbol.toPrimitive](): number {
        return this.#calls;
      }
    }
    const client = new Client();
    const ai = guard(client, { project: newProject(), dailyCapUSD: 9 });
    const { create } = ai;
    await create({ model: 'gpt-4o' });
    expect(ai).toBeInstanceOf(Client);
    expect(ai.calls).toBe(1);
    expect(Number(ai)).toBe(1);
    Object.defineProperty(ai, 'create', { value: async () => 'a stub' });
    expect(await ai.create({ model: 'gpt-4o' })).toBe('a stub');
    expect(await client.create({ model: 'gpt-4o' })).toBe('a stub');
  });

  it('takes options of the plain type for any client, and a usage that is added up', async () => {
    const estimate: Usage = { input: 0, output: 0 };
    const options: GuardOptions = {
      project: newProject(),
      dailyCapUSD: 9,
      estimateUsage({ model }) {
        estimate.output += model.length;
        return estimate;
      },
    };
    // `model` beside fields that are told by name: no index signature.
    interface Named {
      readonly model: string;
      readonly messages: readonly string[];
    }
    const client = { create: async ({ model }: Named) => ({ model, usage: DOLLAR }) };
    const answer = await guard(client, options).create({ model: 'gpt-4o', messages: [] });
    expect(answer.model).toBe('gpt-4o');
    expect(estimate.output).toBe(6);
  });

  it('passes other options of a call on to the client, and nothing else', async () => {
    const seen: unknown[][] = [];
    const client = {
      create: async (...parts: [args: { model: string }, options?: object]) => {
        seen.push(parts);
        return { usage: DOLLAR };
      },
    };
    const ai = guard(client, { project: newProject(), dailyCapUSD: 50 });
    await ai.create({ model: 'gpt-4o' });
    await ai.create({ model: 'gpt-4o' }, { feature: 'chat' });
    await ai.create({ model: 'gpt-4o' }, { feature: 'chat', timeout: 5 } as object);
    expect(seen).toEqual([
      [{ model: 'gpt-4o' }],
      [{ model: 'gpt-4o' }],
      [{ model: 'gpt-4o' }, { timeout: 5 }],
    ]);
  });
});

describe('prices', () => {
  it('costs by PRICES, in USD per 1,000 tokens', () => {
    // USD 2.50, 1.25 and 10 a million: https://platform.openai.com/docs/pricing, 2026-11-22.
    expect(PRICES['gpt-4o']).toEqual({ in: 0.0025, out: 0.01, cachedIn: 0.00125 });
    expect(cost('gpt-4o', { input: 1_000, output: 1_000 })).toBe(0.0125);
    expect(cost('gpt-4o', { input: 1_000, cachedInput: 400, output: 0 })).toBe(0.002);
    expect(cost('gpt-4o', { input: 1, output: 0 })).toBe(0.0000025);
    expect(() => cost('nobody-9000', { input: 1, output: 1 })).toThrow(/nobody-9000/);
    expect(() => cost('constructor', { input: 1, output: 1 })).toThrow(/constructor/);
  });

  it('reads a row that was changed, added or taken away', () => {
    PRICES['mine'] = { in: 0.1, out: 0.2 };
    expect(cost('mine', { input: 1_000, cachedInput: 500, output: 1_000 })).toBe(0.3);
    (PRICES['mine'] as { cachedIn?: number }).cachedIn = 0.01;
    expect(cost('mine', { input: 1_000, cachedInput: 500, output: 1_000 })).toBe(0.255);
    delete PRICES['mine'];
    expect(() => cost('mine', { input: 1, output: 1 })).toThrow(/mine/);
    definePrice('mine', { in: 1e-7, out: 0 });
    expect(cost('mine', { input: 1_000_000, output: 0 })).toBe(0.0001);
    expect(() => definePrice('bad', { in: -1, out: 0 })).toThrow(/in/);
    expect(() => definePrice('bad', { in: 1 } as never)).toThrow(/out/);
    expect(() => definePrice('bad', { in: Number.NaN, out: 0 })).toThrow(/in/);
  });

  it('keeps the tiers of the list for a row that nobody has changed', () => {
    // USD 1.25 a million up to 200,000 tokens of input and 2.50 beyond: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22.
    expect(cost('gemini-2.5-pro', { input: 200_000, output: 0 })).toBe(0.25);
    expect(cost('gemini-2.5-pro', { input: 400_000, output: 0 })).toBe(1);
  });

  it('costs a model of Bedrock what Bedrock takes, more in one region than in any', () => {
    const usage = { input: 1_000, output: 0 };
    expect(cost('us.anthropic.claude-sonnet-4-20250514-v1:0', usage)).toBe(0.003);
    // USD 3 a million, and 3.30 for one region: https://aws.amazon.com/bedrock/pricing/, 2026-11-22.
    expect(cost('global.anthropic.claude-sonnet-4-5-20250929-v1:0', usage)).toBe(0.003);
    expect(cost('us.anthropic.claude-sonnet-4-5-20250929-v1:0', usage)).toBe(0.0033);
    // USD 5 and 5.50.
    expect(cost('eu.anthropic.claude-opus-4-5-20251101-v1:0', usage)).toBe(0.0055);
    expect(cost('openai.gpt-oss-120b-1:0', usage)).toBe(0.00015);
  });

  it('bills parts that cannot lie inside their whole beside it', () => {
    // USD 3, 0.30 and 3.75 a million: https://platform.claude.com/docs/en/pricing, 2026-11-22.
    const usage = { input: 1_000, cachedInput: 5_000, cacheWrite: 2_000, output: 0 };
    expect(cost('claude-sonnet-4-5', usage)).toBe(0.003 + 0.0015 + 0.0075);
    definePrice('claude-mine', { in: 0.003, out: 0.015, cachedIn: 0.0003 });
    expect(cost('claude-mine', usage)).toBe(0.003 + 0.0015 + 0.0075);
  });
});

describe('normalizeUsage', () => {
  it.each([
    ['its own', { input: 3, output: 4, cachedInput: 1 }, { input: 3, output: 4, cachedInput: 1 }],
    [
      'OpenAI',
      {
        prompt_tokens: 100,
        completion_tokens: 20,
        prompt_tokens_details: { cached_tokens: 40 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
      { input: 100, output: 20, cachedInput: 40, reasoning: 5 },
    ],
    [
      'OpenAI responses',
      {
        input_tokens: 100,
        output_tokens: 20,
        total_tokens: 120,
        input_tokens_details: { cached_tokens: 40 },
        output_tokens_details: { reasoning_tokens: 5 },
      },
      { input: 100, output: 20, cachedInput: 40, reasoning: 5 },
    ],
    [
      'Anthropic',
      {
        input_tokens: 100,
        output_tokens: 20,
        cache_read_input_tokens: 1_000,
        cache_creation_input_tokens: 500,
      },
      { input: 1_600, output: 20, cachedInput: 1_000, cacheWrite: 500 },
    ],
    [
      'Gemini',
      {
        promptTokenCount: 100,
        candidatesTokenCount: 20,
        thoughtsTokenCount: 30,
        cachedContentTokenCount: 10,
        totalTokenCount: 150,
      },
      { input: 100, output: 50, cachedInput: 10, reasoning: 30 },
    ],
    [
      'Bedrock',
      { inputTokens: 100, outputTokens: 20, totalTokens: 120 },
      { input: 100, output: 20 },
    ],
    [
      'Cohere',
      { billed_units: { input_tokens: 100, output_tokens: 20 }, tokens: {} },
      { input: 100, output: 20 },
    ],
  ])('reads %s', (_, raw, usage) => {
    expect(normalizeUsage(raw)).toEqual(usage);
  });

  it.each([
    [null],
    [undefined],
    ['text'],
    [{}],
    [{ prompt_tokens: Number.NaN, completion_tokens: 1 }],
  ])('throws for %s', (raw) => {
    expect(() => normalizeUsage(raw)).toThrow(/usage/);
  });
});
