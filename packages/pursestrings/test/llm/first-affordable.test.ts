import OpenAI from 'openai';
import { describe, expect, expectTypeOf, it, onTestFinished } from 'vitest';

import { BudgetExceededError, InvalidOptionError } from '../../src/errors.ts';
import type { Hold } from '../../src/hold.ts';
import { withLabels } from '../../src/ambient-labels.ts';
import { InvalidAmountError } from '../../src/ledger/invalid.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { firstAffordable } from '../../src/llm/first-affordable.ts';
import { meteredFetch } from '../../src/llm/metered-fetch.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import { openBench, rejection, STEPS } from './fixture.ts';

async function open(...limits: Limit[]): Promise<Purse> {
  const purse = await openPurse({ limits });
  onTestFinished(() => purse.close());
  return purse;
}

async function spent(purse: Purse, ...by: string[]): Promise<unknown> {
  const { rows } = await purse.report({ by });
  return rows.filter(({ charges }) => charges > 0).map(({ labels, amounts }) => [labels, amounts]);
}

describe('models behind an SDK', () => {
  const answer = () => ({ completionTokens: 50, promptTokens: 10 });

  /** gpt-4o costs 0.0005 USD for 50 tokens of output, gpt-4o-mini 0.00003. */
  function ask(openai: OpenAI, model: string): Promise<OpenAI.ChatCompletion> {
    return openai.chat.completions.create({
      model,
      max_completion_tokens: 50,
      messages: [{ role: 'user', content: 'Say some words' }],
    });
  }

  it('takes the first while the money lasts', async () => {
    const bench = await openBench({ answer });
    const models: string[] = [];
    await firstAffordable(bench.purse, ['gpt-4o', 'gpt-4o-mini'], (model) => {
      models.push(model);
      return ask(bench.openai, model);
    });
    expect(models).toEqual(['gpt-4o']);
    expect(await bench.spentSteps()).toBe(10n * STEPS.input + 50n * STEPS.output);
  });

  it.each(['respond', 'throw'] as const)(
    'falls to the next, with onDenied %s',
    async (onDenied) => {
      const limits = [{ name: 'all', cap: { usd: 0.0003 } }];
      const bench = await openBench({ answer, limits, meter: { onDenied } });
      const served = await firstAffordable(
        bench.purse,
        ['gpt-4o', 'gpt-4o-mini'],
        async (model, index) => {
          await ask(bench.openai, model);
          return { model, index };
        },
      );
      expect(served).toEqual({ model: 'gpt-4o-mini', index: 1 });
      expect(bench.provider.requests).toBe(1);
    },
  );

  it('says what every candidate was refused for, the first first', async () => {
    const bench = await openBench({ limits: [{ name: 'all', cap: { usd: 0.00001 } }] });
    const error = await rejection(
      firstAffordable(bench.purse, ['gpt-4o', 'gpt-4o-mini'], (model) => ask(bench.openai, model)),
    );
    expect(error).toBeInstanceOf(BudgetExceededError);
    const { denials, denial, cause } = error as BudgetExceededError;
    expect(denials.map(({ limit, reason }) => [limit, reason])).toEqual([
      ['all', 'exceeds'],
      ['all', 'exceeds'],
    ]);
    expect(denial.requested).toBeGreaterThan(0.0005);
    expect(denials[1]?.requested).toBeLessThan(0.0001);
    expect(cause).toBeInstanceOf(OpenAI.APIError);
    expect(BudgetExceededError.from(cause)?.required).toBe(denial.requested);
    expect(bench.provider.requests).toBe(0);
  });

  it('stops at a freeze: no cheaper model helps', async () => {
    const bench = await openBench({ answer });
    await bench.purse.freeze({}, 'over for today');
    const tried: string[] = [];
    const error = await rejection(
      firstAffordable(bench.purse, ['gpt-4o', 'gpt-4o-mini'], (model) => {
        tried.push(model);
        return ask(bench.openai, model);
      }),
    );
    expect(tried).toEqual(['gpt-4o']);
    expect((error as BudgetExceededError).denial.reason).toBe('frozen');
  });

  it('stops at a spend that no limit covers', async () => {
    const bench = await openBench({ limits: [{ name: 'sats', cap: { sats: 5 } }] });
    const tried: string[] = [];
    const error = await rejection(
      firstAffordable(bench.purse, ['gpt-4o', 'gpt-4o-mini'], (model) => {
        tried.push(model);
        return ask(bench.openai, model);
      }),
    );
    expect(tried).toEqual(['gpt-4o']);
    expect((error as BudgetExceededError).denial.reason).toBe('uncovered');
  });

  it('lets every other error go on', async () => {
    const bench = await openBench({ answer: () => ({ status: 500 }) });
    const error = await rejection(
      firstAffordable(bench.purse, ['gpt-4o', 'gpt-4o-mini'], (model) => ask(bench.openai, model)),
    );
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(bench.provider.requests).toBe(1);
  });

  it('tries the client of another provider', async () => {
    const bench = await openBench({ answer, limits: [{ name: 'all', cap: { usd: 0.0003 } }] });
    const dear = new OpenAI({ apiKey: 'none', baseURL: bench.provider.url, fetch: bench.fetch });
    const cheap = new OpenAI({ apiKey: 'none', baseURL: bench.provider.url, fetch: bench.fetch });
    const client = await firstAffordable(bench.purse, [dear, cheap], async (openai) => {
      await ask(openai, openai === dear ? 'gpt-4o' : 'gpt-4o-mini');
      return openai;
    });
    expect(client).toBe(cheap);
  });
});

describe('candidates with amounts', () => {
  const all: Limit = { name: 'all', cap: { usd: 1 } };

  it('holds them, and settles as held', async () => {
    const purse = await open(all);
    const served = await firstAffordable(
      purse,
      [
        { model: 'dear', amounts: { usd: 2 } },
        { model: 'cheap', amounts: { usd: 0.5 } },
      ],
      async ({ model }) => {
        expect((await purse.check({ usd: 0.6 })).allowed).toBe(false);
        return model;
      },
    );
    expect(served).toBe('cheap');
    expect(await spent(purse)).toEqual([[{}, { usd: 0.5 }]]);
  });

  it('gives the hold to the work, which may settle it', async () => {
    const purse = await open(all);
    await firstAffordable(purse, [{ amounts: { usd: 0.5 } }], (_, __, hold) =>
      hold.settle({ usd: 0.1 }),
    );
    expect(await spent(purse)).toEqual([[{}, { usd: 0.1 }]]);
    expect((await purse.check({ usd: 0.9 })).allowed).toBe(true);
  });

  it('gives the money back when the work throws', async () => {
    const purse = await open(all);
    const broken = new Error('broken');
    const error = await rejection(
      firstAffordable(purse, [{ amounts: { usd: 0.5 } }], () => Promise.reject(broken)),
    );
    expect(error).toBe(broken);
    expect((await purse.check({ usd: 1 })).allowed).toBe(true);
  });

  it('frees one candidate’s money before the next is asked for', async () => {
    const purse = await open(all, { name: 'calls', cap: { calls: 1 } });
    const candidates = [
      { amounts: { usd: 0.9 }, inner: { calls: 2 } },
      { amounts: { usd: 0.8 }, inner: { calls: 1 } },
    ];
    const index = await firstAffordable(purse, candidates, async ({ inner }, index) => {
      await using hold = await purse.reserve(inner);
      await hold.settle();
      return index;
    });
    expect(index).toBe(1);
    expect(await spent(purse)).toEqual([[{}, { usd: 0.8, calls: 1 }]]);
  });

  it('refuses amounts that cannot be meant, and does no work', async () => {
    const purse = await open(all);
    const candidates = [{ amounts: { usd: Number.NaN } }];
    const error = await rejection(firstAffordable(purse, candidates, () => 'done'));
    expect(error).toBeInstanceOf(InvalidAmountError);
  });

  it('reads them from objects of a class too', async () => {
    const purse = await open(all);
    class Model {
      readonly amounts = { usd: 0.5 };
      readonly labels = { model: 'm' };
    }
    await firstAffordable(purse, [new Model()], ({ labels }) => labels.model);
    expect(await spent(purse, 'model')).toEqual([[{ model: 'm' }, { usd: 0.5 }]]);
  });
});

describe('candidates with labels', () => {
  const each: Limit = { name: 'model', cap: { usd: 1 }, each: ['model'] };

  it('labels every spend inside the work, over the labels around it', async () => {
    const purse = await open(each);
    const candidates = [{ labels: { model: 'm' } }];
    await withLabels({ model: 'around', agent: 'a1' }, () =>
      firstAffordable(purse, candidates, () => purse.charge({ usd: 0.5 })),
    );
    expect(await spent(purse, 'model', 'agent')).toEqual([
      [{ model: 'm', agent: 'a1' }, { usd: 0.5 }],
    ]);
  });

  it('goes past a freeze that its own labels may have met', async () => {
    const purse = await open(each);
    await purse.freeze({ model: 'dear' });
    const candidates = [
      { labels: { model: 'dear' }, amounts: { usd: 0.2 } },
      { labels: { model: 'cheap' }, amounts: { usd: 0.1 } },
    ];
    const index = await firstAffordable(purse, candidates, (_, index) => index);
    expect(index).toBe(1);
    expect(await spent(purse, 'model')).toEqual([[{ model: 'cheap' }, { usd: 0.1 }]]);
  });

  it('leaves the labels of a client alone', async () => {
    const purse = await open(each);
    class Client {
      readonly labels = { team: 'of another service' };
    }
    await firstAffordable(purse, [new Client()], () => purse.charge({ usd: 0.5 }));
    expect(await spent(purse, 'team')).toEqual([[{ team: '' }, { usd: 0.5 }]]);
  });
});

describe('the call itself', () => {
  it('wants a candidate', async () => {
    const purse = await open();
    const error = await rejection(firstAffordable(purse, [], () => 'done'));
    expect(error).toBeInstanceOf(InvalidOptionError);
  });

  it('takes work that throws or returns at once', async () => {
    const purse = await open();
    expect(await firstAffordable(purse, ['one'], (name) => `${name} done`)).toBe('one done');
    const error = await rejection(
      firstAffordable(purse, ['one'], () => {
        throw new TypeError('at once');
      }),
    );
    expect(error).toBeInstanceOf(TypeError);
  });

  it('answers with denials that another meter wrote', async () => {
    const poor = await open({ name: 'poor', cap: { usd: 0 } });
    const metered = meteredFetch(poor, { onDenied: 'throw' });
    const post = () =>
      metered('https://api.openai.com/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify({ model: 'gpt-4o', max_tokens: 5, messages: [] }),
      });
    const error = await rejection(firstAffordable(await open(), [1, 2], post));
    expect((error as BudgetExceededError).denials).toHaveLength(2);
  });

  it('tells the work what it is given', () => {
    const check = async (purse: Purse): Promise<void> => {
      await firstAffordable(purse, ['gpt-5', 'gpt-4o-mini'], (model, index, hold) => {
        expectTypeOf(model).toEqualTypeOf<'gpt-5' | 'gpt-4o-mini'>();
        expectTypeOf(index).toBeNumber();
        expectTypeOf(hold).toBeNull();
      });
      await firstAffordable(purse, [{ amounts: { usd: 1 } }], (_, __, hold) => {
        expectTypeOf(hold).toEqualTypeOf<Hold>();
      });
      const mixed: { model: string; amounts?: { usd: number } }[] = [];
      const answer = firstAffordable(purse, mixed, ({ model }, _, hold) => {
        expectTypeOf(hold).toEqualTypeOf<Hold | null>();
        return Promise.resolve(model);
      });
      expectTypeOf(answer).toEqualTypeOf<Promise<string>>();
    };
    expect(check).toBeTypeOf('function');
  });
});
