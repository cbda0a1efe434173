import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import type { LoopbackAnswer, LoopbackRequest } from '../../src/testing/loopback-provider.ts';
import { askStreamed, billedSteps, openBench, steps, until } from './fixture.ts';
import type { Bench } from './fixture.ts';

const CALLS = 200;
const AFFORDED = 20;

/** What happens to a call. */
type Fate = 'read' | 'left' | 'killed' | 'refused first' | 'lost first';

const FATES: readonly Fate[] = ['read', 'left', 'killed', 'refused first', 'lost first'];

function fateOf(call: number): Fate {
  return FATES[call % FATES.length] ?? 'read';
}

/** The number that a request bears in its prompt. */
function callOf({ body }: LoopbackRequest): number {
  return Number(/call (\d+)/.exec(JSON.stringify(body.messages))?.[1]);
}

/** A provider that treats each call by its fate, and remembers which request was whose. */
class Provider {
  readonly callOfRequest = new Map<number, number>();
  readonly #tries = new Map<number, number>();

  answer(request: LoopbackRequest): LoopbackAnswer {
    const call = callOf(request);
    this.callOfRequest.set(request.number, call);
    const tries = (this.#tries.get(call) ?? 0) + 1;
    this.#tries.set(call, tries);
    const content = 'word '.repeat(5 + (call % 40));
    const slow = { content, chunkDelayMs: 1 };
    const fate = fateOf(call);
    if (fate === 'killed') return { ...slow, cutAfterChunks: 3 };
    if (fate === 'refused first' && tries === 1) return { status: 503, retryAfterSeconds: 0 };
    if (fate === 'lost first' && tries === 1) return { cut: 'before-headers' };
    return slow;
  }
}

/** Makes a call as an agent does: again after a while as long as there is no money. */
async function makeCall(bench: Bench, call: number): Promise<'done' | 'broken' | 'denied'> {
  const request = askStreamed({ messages: [{ role: 'user', content: `This is call ${call}` }] });
  const headers = { 'x-purse-labels': `call=${call}` };
  for (let round = 0; round < 40; round += 1) {
    try {
      const stream = await bench.openai.chat.completions.create(request, { headers });
      let chunks = 0;
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content) chunks += 1;
        if (fateOf(call) === 'left' && chunks === 2) break;
      }
      return 'done';
    } catch (error) {
      if (BudgetExceededError.from(error) === null) return 'broken';
      await new Promise((wake) => setTimeout(wake, 10));
    }
  }
  return 'denied';
}

/** What one call holds, in steps. */
async function holdOfOne(): Promise<bigint> {
  const bench = await openBench();
  await makeCall(bench, 100);
  return steps((await bench.charges())[0]?.held?.usd ?? 0);
}

/** Looks at the envelope while the calls run; gives the most it ever had spent and held. */
function watchCap(bench: Bench): () => Promise<bigint> {
  let most = 0n;
  const stop = new AbortController();
  const watching = (async () => {
    while (!stop.signal.aborted) {
      for await (const { unit, spent, held } of bench.purse.balances({ limit: 'all' })) {
        const together = steps(spent) + steps(held);
        if (unit === 'usd' && together > most) most = together;
      }
      await new Promise((wake) => setTimeout(wake, 2));
    }
  })();
  return async () => {
    stop.abort();
    await watching;
    return most;
  };
}

function sumBy<Item>(
  items: readonly Item[],
  callOfItem: (item: Item) => number,
  stepsOfItem: (item: Item) => bigint,
): Map<number, bigint> {
  const sums = new Map<number, bigint>();
  for (const item of items) {
    const call = callOfItem(item);
    sums.set(call, (sums.get(call) ?? 0n) + stepsOfItem(item));
  }
  return sums;
}

async function expectTruth(bench: Bench, provider: Provider): Promise<void> {
  const charges = await bench.charges();
  const whose = ({ labels }: (typeof charges)[number]): number => Number(labels.call);
  const charged = sumBy(charges, whose, ({ amounts }) => steps(amounts.usd ?? 0));
  // What was charged as held is what no usage came for.
  const lost = charges.filter(({ amounts, held }) => amounts.usd === held?.usd);
  const held = sumBy(lost, whose, ({ amounts }) => steps(amounts.usd ?? 0));
  const billed = sumBy(
    bench.provider.bill.lines,
    ({ request }) => provider.callOfRequest.get(request) ?? -1,
    ({ usdPicos }) => usdPicos / 10_000n,
  );
  for (const call of new Set([...charged.keys(), ...billed.keys()])) {
    const over = (charged.get(call) ?? 0n) - (billed.get(call) ?? 0n);
    expect(over).toBeGreaterThanOrEqual(0n);
    expect(over).toBeLessThanOrEqual(held.get(call) ?? 0n);
    if (['read', 'refused first'].includes(fateOf(call))) expect(over).toBe(0n);
  }
  expect(charges).toHaveLength(bench.provider.bill.requests);
  expect(new Set([...charged.keys()].map(fateOf))).toEqual(new Set(FATES));
  expect(await bench.spentSteps()).toBeGreaterThanOrEqual(billedSteps(bench.provider));
}

describe.each([['memory'], ['sqlite']] as const)(
  `${CALLS} streamed calls at once on a cap that affords ${AFFORDED}, in %s`,
  (kind) => {
    it('are charged what was billed, to the step, and the cap holds', async () => {
      const capSteps = (await holdOfOne()) * BigInt(AFFORDED);
      const provider = new Provider();
      const bench = await openBench({
        limits: [{ name: 'all', cap: { usd: Number(capSteps) / 1e8 } }],
        answer: (request) => provider.answer(request),
        client: { maxRetries: 2 },
        purse: { store: kind === 'memory' ? 'memory:' : `sqlite:${temporaryFile()}` },
      });
      const stopWatching = watchCap(bench);
      const calls = Array.from({ length: CALLS }, (_, call) => makeCall(bench, call));
      const fates = await Promise.all(calls);
      await bench.provider.idle();
      await until(async () => (await bench.heldSteps()) === 0n);

      await expectTruth(bench, provider);
      expect(await stopWatching()).toBeLessThanOrEqual(capSteps);
      expect(await bench.spentSteps()).toBeLessThanOrEqual(capSteps);
      // All of it happened: some were served, some broke, and for some there was no money.
      expect(new Set(fates)).toEqual(new Set(['done', 'broken', 'denied']));
      expect(bench.provider.bill.requests).toBeGreaterThanOrEqual(AFFORDED);
      expect(await bench.purse.verify()).toMatchObject({ ok: true });
    });
  },
);

function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'purse-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'purse.db');
}
