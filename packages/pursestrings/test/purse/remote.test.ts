import { expect, test, vi } from 'vitest';
import { type Charge, openPurse, type Purse, StoreError } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import type { Batches, EmbeddedStore, LedgerStore } from '../../src/stores/store.ts';
import { AGREEMENT_CASES } from '../../src/testing/conformance/agreement.ts';
import { manualClock, seededDraw } from '../../src/testing/index.ts';
import { balanceOf, charges, makePurse, steps } from '../stores/fixture.ts';
import { type Fate, Line, remoteStore } from './remote-store.ts';

const LIMITS = [
  { name: 'all', cap: { usd: 1000 } },
  { name: 'agent', cap: { usd: 1000 }, each: ['agent'] },
];
const QUICK = { operationTimeoutMs: 200, retryForMs: 20_000 };
const IMPATIENT = { operationTimeoutMs: 100, retryForMs: 200 };

interface Remote {
  readonly line: Line;
  readonly server: EmbeddedStore;
  readonly store: LedgerStore;
  /** The ledger as it stands where it lives. */
  readonly truth: Purse;
}

async function remote(batches?: Batches): Promise<Remote> {
  const line = new Line();
  const server = memory();
  const store = remoteStore(server, line, batches);
  const truth = await makePurse({ store: server, limits: LIMITS });
  return { line, server, store, truth };
}

/** Draws fates: so many percent of them are not `arrives`. */
function badLine(seed: number, percent: number, fates: readonly Fate[]): () => Fate {
  const draw = seededDraw(seed);
  return () => (draw(100) < percent ? (fates[draw(fates.length)] ?? 'arrives') : 'arrives');
}

test.each([1, 2, 3, 4])(
  'spends over a line that loses askings and answers happen once each (seed %i)',
  async (seed) => {
    const { line, store, truth } = await remote({ size: 8, inFlight: 3 });
    const purse = await makePurse({ store, ...QUICK });
    const announced: Charge[] = [];
    purse.on('charge', (charge) => announced.push(charge));
    line.fate = badLine(seed, 30, ['refused', 'lost', 'cut', 'hangs']);
    const settled = Array.from({ length: 60 }, async (_, n) => {
      const named = n % 2 === 0 ? { id: `hold-${n}` } : {};
      const hold = await purse.reserve({ usd: 2 }, { agent: `a${n % 5}` }, named);
      // Of an id that the caller gave, nobody can tell whether it was taken by the first asking.
      if (n % 2 === 1) expect(hold.replayed).toBe(false);
      return hold.settle({ usd: 1.25 });
    });
    const charged = Array.from({ length: 60 }, (_, n) =>
      purse.charge({ usd: 0.5 }, { agent: 'b' }, n % 2 === 0 ? { id: `charge-${n}` } : {}),
    );
    const answers = await Promise.all([...settled, ...charged]);
    line.fate = () => 'arrives';
    line.letArrive();
    await purse.close();
    expect(answers.filter(({ replayed }) => replayed)).toEqual([]);
    const journal = await charges(truth);
    const ids = journal.map(({ id }) => id);
    expect(ids.toSorted()).toEqual(answers.map(({ id }) => id).toSorted());
    expect(announced.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    expect(await balanceOf(truth, 'all')).toEqual({ spent: 105, held: 0, available: 895 });
    expect((await truth.verify()).ok).toBe(true);
  },
);

test.each(AGREEMENT_CASES.slice(0, 10))('over a bad line, $name', async ({ run }) => {
  await run(({ clock }) => {
    const line = new Line();
    line.fate = badLine(7, 10, ['refused', 'lost', 'cut']);
    return remoteStore(memory({ clock }), line);
  });
});

test('when the patience ends, the caller is told whether it may have happened', async () => {
  const { line, store, truth } = await remote();
  const purse = await makePurse({ store, ...IMPATIENT });
  line.fate = () => 'refused';
  await expect(purse.charge({ usd: 1 }, {}, { id: 'a' })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    failure: 'unreachable',
    retryable: true,
  });
  line.fate = () => 'lost';
  const unknown = purse.charge({ usd: 1 }, {}, { id: 'b' });
  await expect(unknown).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  await expect(unknown).rejects.toThrow('"b"');
  // Lost once and then refused: it may have happened all the same.
  let askings = 0;
  line.fate = () => (askings++ === 0 ? 'lost' : 'refused');
  await expect(purse.charge({ usd: 1 }, {}, { id: 'c' })).rejects.toMatchObject({
    code: 'OUTCOME_UNKNOWN',
  });
  line.fate = () => 'arrives';
  expect((await charges(truth)).map(({ id }) => id)).toEqual(['b', 'c']);
  // Asked again by the caller, with the same id.
  expect(await purse.charge({ usd: 1 }, {}, { id: 'a' })).toMatchObject({ replayed: false });
  expect(await purse.charge({ usd: 1 }, {}, { id: 'b' })).toMatchObject({ replayed: true });
  expect((await balanceOf(truth, 'all')).spent).toBe(3);
});

test('a charge that others made is no answer of ours, also at the first asking of all', async () => {
  const line = new Line();
  const clock = manualClock('2026-06-15T12:00:00Z');
  const past = memory({ clock });
  const theirs = await makePurse({ store: past, limits: LIMITS });
  await theirs.charge({ usd: 1 }, {}, { id: 'theirs' });
  clock.advance(60_000);
  const purse = await makePurse({ store: remoteStore(past, line), ...QUICK });
  const announced: string[] = [];
  purse.on('charge', ({ id }) => announced.push(id));
  let askings = 0;
  line.fate = () => (askings++ === 0 ? 'lost' : 'arrives');
  expect(await purse.charge({ usd: 1 }, {}, { id: 'theirs' })).toMatchObject({ replayed: true });
  askings = 0;
  expect(await purse.charge({ usd: 1 }, {}, { id: 'ours' })).toMatchObject({ replayed: false });
  expect(announced).toEqual(['ours']);
});

test('a reading of everything that stands still is begun again', async () => {
  const { line, store, truth } = await remote();
  await truth.charge({ usd: 1 });
  const purse = await makePurse({ store, operationTimeoutMs: 20, retryForMs: 20_000 });
  let askings = 0;
  // The policy arrives, and then the first of two readings hangs.
  line.fate = () => (askings++ === 1 ? 'hangs' : 'arrives');
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  expect([askings, line.aborted]).toEqual([3, 1]);
});

test('what waits behind a store that is away is told that it was never asked', async () => {
  const { line, store, truth } = await remote({ size: 1, inFlight: 1 });
  const purse = await makePurse({ store, ...IMPATIENT });
  line.fate = () => 'hangs';
  const work = ['a', 'b', 'c'].map((id) => purse.charge({ usd: 1 }, {}, { id }));
  const outcomes = await Promise.allSettled(work);
  expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual([
    'OUTCOME_UNKNOWN',
    'STORE_UNAVAILABLE',
    'STORE_UNAVAILABLE',
  ]);
  expect(line.aborted).toBeGreaterThan(0);
  line.fate = () => 'arrives';
  line.letArrive();
  await vi.waitFor(async () => expect((await balanceOf(truth, 'all')).spent).toBe(1));
});

test('a batch that arrives after it was asked again changes nothing', async () => {
  const { line, store, truth } = await remote();
  const purse = await makePurse({ store, ...QUICK });
  let askings = 0;
  line.fate = () => (askings++ === 0 ? 'hangs' : 'arrives');
  const hold = await purse.reserve({ usd: 3 });
  expect(hold.replayed).toBe(false);
  await hold.settle({ usd: 2 });
  line.letArrive();
  await purse.charge({ usd: 0 });
  expect(await balanceOf(truth, 'all')).toMatchObject({ spent: 2, held: 0 });
  expect((await truth.verify()).ok).toBe(true);
});

test('a failure that asking again cannot mend is told at once', async () => {
  const { line, store } = await remote();
  const purse = await makePurse({ store, ...QUICK });
  const unmigrated = new StoreError('STORE_UNAVAILABLE', 'misconfigured', 'call migrate() first');
  line.fate = () => {
    throw unmigrated;
  };
  await expect(purse.charge({ usd: 1 })).rejects.toBe(unmigrated);
  const broken = new TypeError('a defect of the store');
  line.fate = () => {
    throw broken;
  };
  await expect(purse.charge({ usd: 1 })).rejects.toBe(broken);
});

test('a purse opens although its store is a moment late, and changes its policy over a bad line', async () => {
  const { line, store, truth } = await remote();
  let askings = 0;
  line.fate = () => (askings++ < 3 ? 'refused' : 'arrives');
  const purse = await makePurse({ store, ...QUICK });
  line.fate = badLine(5, 40, ['refused', 'lost', 'cut']);
  for (let cap = 1; cap <= 12; cap += 1) {
    await purse.setLimit({ name: 'all', cap: { usd: cap } });
    expect((await truth.limits())[0]?.cap).toEqual({ usd: cap });
  }
  expect(await Array.fromAsync(purse.journal())).toEqual([]);
});

test('closing waits for what is on its way', async () => {
  const { line, store, truth } = await remote({ size: 4, inFlight: 2 });
  line.delayMs = 5;
  const purse = await openPurse({ store });
  const work = Array.from({ length: 50 }, () => purse.charge({ usd: 1 }));
  await purse.close();
  expect((await balanceOf(truth, 'all')).spent).toBe(50);
  await Promise.all(work);
});

test('a limit and a freeze of another process bind at the next reserve', async () => {
  const { store, truth } = await remote();
  const purse = await makePurse({ store });
  expect((await purse.tryReserve({ usd: 5 }, { agent: 'a' })).ok).toBe(true);
  await truth.setLimit({ name: 'all', cap: { usd: 6 } });
  expect((await purse.tryReserve({ usd: 2 })).ok).toBe(false);
  await truth.freeze({ agent: 'a' });
  expect(await purse.tryReserve({ usd: 1 }, { agent: 'a' })).toMatchObject({
    ok: false,
    denial: { reason: 'frozen' },
  });
  await truth.unfreeze({ agent: 'a' });
  await truth.setLimit({ name: 'more', cap: { tokens: 1 }, where: { agent: 'b' } });
  expect((await purse.tryReserve({ usd: 1 }, { agent: 'a' })).ok).toBe(true);
  const denied = await purse.tryReserve({ usd: 0, tokens: 2 }, { agent: 'b' });
  expect(denied).toMatchObject({ ok: false, denial: { limit: 'more' } });
});

test('a freeze of another process aborts the signals of open holds here', async () => {
  const { line, store, truth } = await remote();
  const purse = await makePurse({ store, ...QUICK });
  const errors: unknown[] = [];
  purse.on('error', (error) => errors.push(error));
  const [frozen, other] = await Promise.all([
    purse.reserve({ usd: 1 }, { agent: 'a' }),
    purse.reserve({ usd: 1 }, { agent: 'b' }),
  ]);
  const signals = [frozen.signal, other.signal];
  // A line that loses some of what is asked only makes it a little later.
  line.fate = badLine(3, 50, ['refused', 'cut']);
  await truth.freeze({ agent: 'a' });
  await vi.waitFor(() => expect(signals[0]?.aborted).toBe(true), { timeout: 10_000 });
  expect(signals[1]?.aborted).toBe(false);
  expect(errors).toEqual([]);
  expect((await frozen.settle({ usd: 0.5 })).amounts).toEqual({ usd: 0.5 });
});

test.each([-7, 0, 7])(
  'a clock here that is %i hours off moves no window and no expiry',
  async (hours) => {
    const wrong = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => wrong() + hours * 3_600_000);
    try {
      const clock = manualClock('2026-06-15T12:30:00Z');
      const server = memory({ clock });
      const store = remoteStore(server, new Line());
      const hour = { name: 'hour', cap: { usd: 1 }, per: 'hour' } as const;
      const day = { name: 'day', cap: { usd: 5 }, per: 'day', timeZone: 'Asia/Kolkata' } as const;
      const purse = await makePurse({ store, limits: [hour, day] });
      expect((await purse.check({ usd: 1 })).allowed).toBe(true);
      await purse.charge({ usd: 1 });
      const denied = await purse.tryReserve({ usd: 1 });
      expect(!denied.ok && denied.denial.resetsAt?.toISOString()).toBe('2026-06-15T13:00:00.000Z');
      const [balance] = await Array.fromAsync(purse.balances({ limit: 'day' }));
      expect(balance?.window.start.toISOString()).toBe('2026-06-14T18:30:00.000Z');
      clock.set('2026-06-15T13:00:00Z');
      const hold = await purse.reserve({ usd: 1 }, {}, { ttlMs: 60_000 });
      expect(hold.expiresAt.toISOString()).toBe('2026-06-15T13:01:00.000Z');
      expect(hold.remainingMs()).toBeGreaterThan(30_000);
      expect(hold.remainingMs()).toBeLessThanOrEqual(60_000);
      const { signal } = hold;
      clock.set('2026-06-15T13:01:00Z');
      await vi.waitFor(() => expect(signal.aborted).toBe(true), { timeout: 5000 });
      expect((await purse.tryReserve({ usd: 1 })).ok).toBe(true);
      const report = await purse.report();
      expect(report.until.toISOString()).toBe('2026-06-15T13:15:00.000Z');
      expect(report.total).toEqual({ usd: 1 });
      const offsetMs = (await purse.health()).clockOffsetMs;
      expect(Math.abs(offsetMs - (clock.now() - Date.now()))).toBeLessThan(10_000);
    } finally {
      vi.restoreAllMocks();
    }
  },
);

test('a probe is told in time how the store does, and why it does not', async () => {
  const { line, store } = await remote();
  const purse = await openPurse({ store, ...IMPATIENT });
  expect(await purse.health()).toEqual({
    ok: true,
    store: 'remote memory',
    latencyMs: expect.any(Number),
    clockOffsetMs: expect.any(Number),
    pending: 0,
  });
  line.fate = () => 'refused';
  expect(await purse.health()).toMatchObject({
    ok: false,
    error: { code: 'STORE_UNAVAILABLE', failure: 'unreachable', message: /refused/ },
  });
  line.fate = () => 'hangs';
  const charge = purse.charge({ usd: 1 }).catch(() => undefined);
  const health = await purse.health({ timeoutMs: 20 });
  expect(health).toMatchObject({ ok: false, pending: 1, error: { code: 'STORE_UNAVAILABLE' } });
  expect(health.error?.message).toContain('20 ms');
  await charge;
  line.fate = () => 'arrives';
  expect((await purse.health()).ok).toBe(true);
  await expect(purse.health({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await purse.close();
  expect(await purse.health()).toMatchObject({ ok: false, error: { failure: 'closed' } });
});

test('amounts stay exact to the step over a line that fails half of the time', async () => {
  const { line, store, truth } = await remote({ size: 16, inFlight: 4 });
  const purse = await makePurse({ store, ...QUICK });
  line.fate = badLine(11, 50, ['refused', 'lost', 'cut']);
  const draw = seededDraw(12);
  const amounts = Array.from({ length: 100 }, () => 1 + draw(1_000_000));
  await Promise.all(amounts.map((n) => purse.charge({ usd: `0.0${String(n).padStart(7, '0')}` })));
  line.fate = () => 'arrives';
  const expected = amounts.reduce((sum, n) => sum + BigInt(n), 0n);
  expect(BigInt(steps((await balanceOf(truth, 'all')).spent))).toBe(expected);
});
