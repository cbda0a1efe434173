import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Limit } from '../../src/ledger/limit.ts';
import { withFreeze, withLimits, withoutLimit } from '../../src/ledger/policy.ts';
import { chargeOf, LedgerDesk } from './ledger-desk.ts';

const NESTED: readonly Limit[] = [
  { name: 'all', cap: { calls: 40 } },
  { name: 'project', cap: { calls: 20, tokens: 200 }, each: ['project'] },
  { name: 'agent', cap: { calls: 10 }, each: ['agent', 'project'] },
  { name: 'watch', cap: { calls: 5 }, mode: 'soft' },
  { name: 'p1', cap: { tokens: 100 }, where: { project: 'p1' } },
];

describe('a ledger under random spends', () => {
  const spend = fc.record({
    kind: fc.constantFrom('reserve', 'reserve', 'reserve', 'settle', 'release', 'charge'),
    calls: fc.integer({ min: 0, max: 12 }),
    tokens: fc.integer({ min: 0, max: 120 }),
    project: fc.constantFrom('p1', 'p2', ''),
    agent: fc.constantFrom('a|1', 'a', '1'),
    which: fc.nat(),
  });
  type Spend = typeof spend extends fc.Arbitrary<infer T> ? T : never;
  interface Done {
    readonly id: string;
    readonly spend: Spend;
  }

  /** What an envelope holds, added up from what was asked and granted. */
  function sums(done: readonly Done[], limit: string, unit: 'calls' | 'tokens', values: string) {
    const inEnvelope = done.filter(({ spend: { project, agent } }) => {
      if (limit === 'p1') return project === 'p1';
      if (limit === 'project') return project === values;
      return limit !== 'agent' || `${agent}+${project}` === values;
    });
    return inEnvelope.reduce((sum, { spend: asked }) => sum + asked[unit], 0);
  }

  it('moves every line of a spend or none, and admits whatever fits', async () => {
    const property = fc.asyncProperty(
      fc.array(spend, { minLength: 1, maxLength: 60 }),
      async (all) => {
        const desk = new LedgerDesk(NESTED);
        let held: Done[] = [];
        const spent: Done[] = [];
        for (const asked of all) {
          const { kind, calls, tokens, project, agent, which } = asked;
          const labels = { project, agent };
          if (kind === 'reserve') {
            const { lines } = desk.plan({ calls, tokens }, labels);
            const room = lines.every(({ terms, values, steps }) => {
              const key = values.join('+');
              const unit = terms.unit as 'calls' | 'tokens';
              const used = sums([...held, ...spent], terms.limit, unit, key);
              return terms.soft || steps === 0 || steps <= terms.capSteps - used;
            });
            const id = desk.newId();
            const answer = desk.reserve({ calls, tokens }, labels, { id });
            expect(answer.kind).toBe(room ? 'held' : 'denied');
            if (room) held.push({ id, spend: asked });
          } else if (kind === 'charge') {
            const id = desk.newId();
            expect(desk.charge({ calls, tokens }, labels, id).kind).toBe('charged');
            spent.push({ id, spend: asked });
          } else if (held.length > 0) {
            const taken = held.at(which % held.length) as Done;
            held = held.filter((other) => other !== taken);
            if (kind === 'release') {
              expect(desk.release(taken.id).kind).toBe('released');
            } else {
              expect(desk.settle(taken.id, { calls, tokens }).kind).toBe('charged');
              spent.push({ id: taken.id, spend: { ...taken.spend, calls, tokens } });
            }
          }
          for (const envelope of desk.envelopes()) {
            const { limit, values } = envelope;
            const unit = envelope.unit as 'calls' | 'tokens';
            expect(envelope.held).toBe(sums(held, limit, unit, values.join('+')));
            expect(envelope.spent).toBe(sums(spent, limit, unit, values.join('+')));
          }
        }
        expect((await desk.audit()).mismatches).toEqual([]);
        expect(desk.journal()).toHaveLength(spent.length);
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });

  it('names every line that is short, in the order of the limits', () => {
    const desk = new LedgerDesk(NESTED);
    desk.charge({ calls: 39 }, { project: 'p1', agent: 'a' });
    const answer = desk.reserve({ calls: 2, tokens: 150 }, { project: 'p1', agent: 'a' });
    expect(answer).toMatchObject({ kind: 'denied', reason: 'exceeds' });
    if (answer.kind !== 'denied') return;
    const names = answer.shortfalls.map(({ line, spent }) => [line.terms.limit, spent]);
    expect(names).toEqual([
      ['all', 39],
      ['project', 39],
      ['agent', 39],
      ['p1', 0],
    ]);
  });
});

describe('rule 2', () => {
  it('lets zero amounts pass a full envelope, but nothing a cap of 0', () => {
    const desk = new LedgerDesk([
      { name: 'full', cap: { calls: 1 } },
      { name: 'shut', cap: { tokens: 0 } },
    ]);
    desk.charge({ calls: 5 });
    expect(desk.reserve({ calls: 0 }).kind).toBe('held');
    expect(desk.reserve({ calls: 1 }).kind).toBe('denied');
    expect(desk.reserve({ tokens: 0 }).kind).toBe('denied');
    expect(desk.reserve({ calls: 0, tokens: 1 }).kind).toBe('denied');
  });

  it('fits three tenths into a cap of 0.3, and not a step more', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { usd: 0.3 } }]);
    expect(desk.reserve({ usd: 0.1 + 0.2 }).kind).toBe('held');
    expect(desk.reserve({ usd: '0.00000001' }).kind).toBe('denied');
  });

  it('posts soft lines and never checks them', () => {
    const desk = new LedgerDesk([{ name: 'soft', cap: { calls: 0 }, mode: 'soft' }]);
    expect(desk.reserve({ calls: 7 }, {}, { id: 'h' }).kind).toBe('held');
    expect(desk.balances('soft')).toEqual({ '': '0/7' });
    expect(chargeOf(desk.settle('h')).overrun).toBe(true);
    expect(desk.balances('soft')).toEqual({ '': '7/0' });
  });

  it('moves nothing when it refuses', () => {
    const desk = new LedgerDesk(NESTED);
    expect(desk.reserve({ calls: 11 }, { project: 'p1', agent: 'a' }).kind).toBe('denied');
    expect(desk.envelopes()).toEqual([]);
    expect(desk.store.readHoldsSync({}).items).toEqual([]);
    expect(desk.journal()).toEqual([]);
  });

  it('shares one envelope among the spends without a label', () => {
    const desk = new LedgerDesk([{ name: 'agent', cap: { calls: 2 }, each: ['agent'] }]);
    expect(desk.reserve({ calls: 1 }, {}).kind).toBe('held');
    expect(desk.reserve({ calls: 1 }, { agent: '' }).kind).toBe('held');
    expect(desk.reserve({ calls: 1 }, { task: 't' }).kind).toBe('denied');
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }).kind).toBe('held');
  });
});

describe('what the policy says', () => {
  const daily: Limit = { name: 'all', cap: { calls: 10 }, per: 'day' };
  const limits: readonly Limit[] = [daily];

  it('covers a spend when a matching limit names one of its units', () => {
    const desk = new LedgerDesk([{ name: 'p1', cap: { calls: 1 }, where: { project: 'p1' } }]);
    expect(desk.plan({ calls: 1 }, { project: 'p1' }).uncovered).toBe(false);
    expect(desk.plan({ calls: 1, usd: 1 }, { project: 'p1' }).uncovered).toBe(false);
    expect(desk.plan({ usd: 1 }, { project: 'p1' }).uncovered).toBe(true);
    expect(desk.plan({ calls: 1 }, { project: 'p2' }).uncovered).toBe(true);
    expect(desk.reserve({ usd: 1 })).toMatchObject({ kind: 'denied', reason: 'uncovered' });
  });

  it('refuses a frozen spend, but repeats an answer given before', () => {
    const desk = new LedgerDesk(limits);
    const asked = { id: 'h' };
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }, asked)).toMatchObject({ replayed: false });
    desk.change((policy) => withFreeze(policy, { agent: 'a' }, undefined));
    expect(desk.reserve({ calls: 1 }, { agent: 'a' })).toMatchObject({ reason: 'frozen' });
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }, asked)).toMatchObject({ replayed: true });
    expect(desk.charge({ calls: 1 }, { agent: 'a' }).kind).toBe('charged');
    expect(desk.settle('h').kind).toBe('charged');
  });

  it('is asked for again when it has changed since the plan, unless the id is known', () => {
    const desk = new LedgerDesk(limits);
    const fresh = desk.reserving({ calls: 1 });
    const known = desk.reserving({ calls: 1 }, {}, { id: 'known' });
    desk.apply(known);
    desk.change((policy) => withLimits(policy, [{ name: 'all', cap: { calls: 0 } }], 'UTC'));
    expect(desk.apply(fresh).kind).toBe('stale');
    expect(desk.apply(known)).toMatchObject({ kind: 'held', replayed: true });
  });

  it('keeps the balances of a limit whose cap changed, or that came back', () => {
    const desk = new LedgerDesk(limits);
    desk.charge({ calls: 6 });
    desk.change((policy) => withLimits(policy, [{ ...daily, cap: { calls: 7 } }], 'UTC'));
    expect(desk.reserve({ calls: 2 }).kind).toBe('denied');
    desk.change((policy) => withoutLimit(policy, 'all'));
    desk.change((policy) => withLimits(policy, limits, 'UTC'));
    expect(desk.reserve({ calls: 5 }).kind).toBe('denied');
    expect(desk.reserve({ calls: 4 }).kind).toBe('held');
  });
});

describe('windows', () => {
  it('that do not contain the time of the store refuse every kind of plan', () => {
    const desk = new LedgerDesk([{ name: 'day', cap: { calls: 1 }, per: 'day' }]);
    const reserve = desk.reserving({ calls: 1 });
    desk.clock.set('2026-03-11T00:00:00Z');
    expect(desk.apply(reserve).kind).toBe('outside_window');
    desk.clock.set('2026-03-09T23:59:59.999Z');
    expect(desk.apply(reserve).kind).toBe('outside_window');
    expect(desk.envelopes()).toEqual([]);
    desk.clock.set('2026-03-10T23:59:59.999Z');
    expect(desk.apply(reserve).kind).toBe('held');
  });

  it('keep what was held in them, also when it is settled after they closed', () => {
    const desk = new LedgerDesk([{ name: 'day', cap: { calls: 5 }, per: 'day' }]);
    desk.reserve({ calls: 5 }, {}, { id: 'h', ttlMs: 86_400_000 });
    desk.clock.set('2026-03-11T00:00:00Z');
    expect(desk.reserve({ calls: 5 }).kind).toBe('held');
    expect(chargeOf(desk.settle('h', { calls: 3 })).late).toBe(false);
    const balances = desk.envelopes().map(({ window, spent, held }) => [window.key, spent, held]);
    expect(balances).toEqual([
      ['2026-03-10', 3, 0],
      ['2026-03-11', 0, 5],
    ]);
  });
});
