import { describe, expect, it } from 'vitest';
import type { Limit } from '../../src/ledger/limit.ts';
import { RESOLVED_HOLD_TTL_MS } from '../../src/ledger/records.ts';
import { MAX_DUE_PER_APPLY } from '../../src/stores/store.ts';
import { type Asked, chargeOf, LedgerDesk } from './ledger-desk.ts';

const DAY_MS = 86_400_000;
const LIMITS: readonly Limit[] = [
  { name: 'all', cap: { calls: 100, slots: 3 } },
  { name: 'tokens', cap: { tokens: 1000 } },
];

function deskWithHold(asked: Asked = {}): LedgerDesk {
  const desk = new LedgerDesk(LIMITS);
  const answer = desk.reserve({ calls: 10 }, { agent: 'a' }, { id: 'h', ttlMs: 1000, ...asked });
  expect(answer.kind).toBe('held');
  return desk;
}

function expired(ifAbandoned: 'release' | 'charge'): LedgerDesk {
  const desk = deskWithHold({ ifAbandoned });
  desk.clock.advance(1000);
  return desk;
}

describe('a hold that expires', () => {
  it('is open until the very millisecond', () => {
    const desk = deskWithHold();
    desk.clock.advance(999);
    expect(desk.extend('h', 500)).toMatchObject({ kind: 'extended' });
    desk.clock.advance(499);
    expect(desk.balances('all')).toEqual({ '': '0/10' });
    desk.clock.advance(1);
    expect(desk.extend('h', 500)).toMatchObject({ kind: 'conflict', hold: { state: 'expired' } });
    expect(desk.expiries.map(({ hold, charge }) => [hold.id, charge])).toEqual([['h', null]]);
    expect(desk.balances('all')).toEqual({ '': '0/0' });
  });

  it('is never made shorter by extending', () => {
    const desk = deskWithHold();
    const before = desk.store.readHoldsSync({ id: 'h' }).items[0]?.expiresAtMs;
    expect(desk.extend('h', 1)).toEqual({ kind: 'extended', expiresAtMs: before });
  });

  it('goes back, or counts as spent, as it was told', () => {
    const released = expired('release');
    released.reserve({ calls: 1 });
    expect(released.balances('all')).toEqual({ '': '0/1' });
    expect(released.journal()).toEqual([]);
    const charged = expired('charge');
    charged.reserve({ calls: 1 });
    expect(charged.balances('all')).toEqual({ '': '10/1' });
    expect(charged.journal().map(({ id, late }) => [id, late])).toEqual([['h', false]]);
  });

  it('never stands in the way of the living', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { calls: 500 } }]);
    for (let count = 0; count < 500; count += 1) desk.reserve({ calls: 1 }, {}, { ttlMs: 1000 });
    desk.clock.advance(1000);
    const whole = desk.reserving({ calls: 500 });
    const answers = Array.from({ length: 4 }, () => desk.apply(whole).kind);
    expect(MAX_DUE_PER_APPLY).toBeLessThan(500 / 3);
    expect(answers).toEqual(['again', 'again', 'again', 'held']);
  });

  it('is resolved first by an operation on it, also before its turn has come', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { calls: 500 } }]);
    for (let count = 0; count < 2 * MAX_DUE_PER_APPLY; count += 1) {
      desk.reserve({ calls: 1 }, {}, { id: `h${count}`, ttlMs: 1000 });
    }
    desk.reserve({ calls: 1 }, {}, { id: 'last', ttlMs: 1001, ifAbandoned: 'charge' });
    desk.clock.advance(1001);
    expect(chargeOf(desk.settle('last', { calls: 3 }))).toMatchObject({ corrects: 'last' });
    expect(desk.balances('all')).toEqual({ '': `3/${MAX_DUE_PER_APPLY}` });
  });
});

describe('a settle after expiry', () => {
  it('as release records what was spent, late', () => {
    const desk = expired('release');
    const charge = chargeOf(desk.settle('h', { calls: 7 }));
    expect(charge).toMatchObject({ id: 'h', late: true, amounts: [{ unit: 'calls', steps: 7 }] });
    expect(desk.balances('all')).toEqual({ '': '7/0' });
    expect(desk.settle('h', { calls: 7 })).toMatchObject({ kind: 'charged', replayed: true });
    expect(desk.settle('h', { calls: 8 }).kind).toBe('conflict');
    expect(desk.release('h').kind).toBe('conflict');
    expect(desk.balances('all')).toEqual({ '': '7/0' });
  });

  it.each([
    [4, -6],
    [10, 0],
    [25, 15],
  ])('as charge corrects to %i calls by %i', async (actual, difference) => {
    const desk = expired('charge');
    const charge = chargeOf(desk.settle('h', { calls: actual }));
    expect(charge).toMatchObject({ late: true, corrects: 'h', amounts: [{ steps: difference }] });
    expect(desk.balances('all')).toEqual({ '': `${actual}/0` });
    expect(desk.settle('h', { calls: actual })).toMatchObject({ replayed: true });
    expect(desk.settle('h', { calls: actual + 1 }).kind).toBe('conflict');
    expect(desk.balances('all')).toEqual({ '': `${actual}/0` });
    expect(await desk.audit()).toMatchObject({ charges: 2, mismatches: [] });
  });

  it('also posts the units that were not held', () => {
    const desk = expired('charge');
    desk.settle('h', { calls: 4, tokens: 50 });
    expect(desk.balances('all')).toEqual({ '': '4/0' });
    expect(desk.balances('tokens')).toEqual({ '': '50/0' });
    expect(desk.settle('h', { calls: 4, tokens: 50 })).toMatchObject({ replayed: true });
  });

  it('is a late charge after a release, too', () => {
    const desk = deskWithHold();
    desk.release('h');
    expect(chargeOf(desk.settle('h', { calls: 3 })).late).toBe(true);
    expect(desk.balances('all')).toEqual({ '': '3/0' });
  });

  it('finds no hold when the id is forgotten', () => {
    const desk = expired('release');
    desk.reserve({ calls: 1 });
    desk.clock.advance(RESOLVED_HOLD_TTL_MS);
    desk.reserve({ calls: 1 });
    expect(desk.settle('h').kind).toBe('unknown_hold');
    expect(desk.settle('never').kind).toBe('unknown_hold');
  });
});

describe('a release', () => {
  it('after expiry as charge takes the charge back, once', () => {
    const desk = expired('charge');
    expect(desk.release('h')).toMatchObject({
      kind: 'released',
      replayed: false,
      charge: { corrects: 'h', amounts: [{ unit: 'calls', steps: -10 }] },
    });
    expect(desk.release('h')).toMatchObject({ kind: 'released', replayed: true });
    expect(desk.settle('h', { calls: 1 }).kind).toBe('conflict');
    expect(desk.balances('all')).toEqual({ '': '0/0' });
  });

  it('after a settle is a conflict that says what stands', () => {
    const desk = deskWithHold();
    desk.settle('h', { calls: 2 });
    expect(desk.release('h')).toMatchObject({
      kind: 'conflict',
      hold: { state: 'settled' },
      charge: { amounts: [{ unit: 'calls', steps: 2 }] },
    });
  });
});

describe('an id', () => {
  it('stands for one content: the same again is a replay, another a conflict', () => {
    const desk = deskWithHold();
    const again = { id: 'h', ttlMs: 1000 };
    expect(desk.reserve({ calls: 10 }, { agent: 'a' }, again)).toMatchObject({ replayed: true });
    expect(desk.balances('all')).toEqual({ '': '0/10' });
    const others = [
      desk.reserve({ calls: 11 }, { agent: 'a' }, again),
      desk.reserve({ calls: 10 }, { agent: 'b' }, again),
      desk.reserve({ calls: 10, tokens: 0 }, { agent: 'a' }, again),
      desk.reserve({ calls: 10 }, { agent: 'a' }, { ...again, ttlMs: 1001 }),
      desk.reserve({ calls: 10 }, { agent: 'a' }, { ...again, ifAbandoned: 'release' }),
      desk.reserve({ calls: 10 }, { agent: 'a' }, { ...again, description: 'd' }),
      desk.charge({ calls: 10 }, { agent: 'a' }, 'h'),
    ];
    expect(others.map(({ kind }) => kind)).toEqual(others.map(() => 'conflict'));
  });

  it('of a charge is known to reserves, and the other way round', () => {
    const desk = new LedgerDesk(LIMITS);
    desk.charge({ calls: 1 }, { agent: 'a' }, 'c');
    expect(desk.charge({ calls: 1 }, { agent: 'a' }, 'c')).toMatchObject({ replayed: true });
    expect(desk.charge({ calls: 2 }, { agent: 'a' }, 'c').kind).toBe('conflict');
    expect(desk.charge({ calls: 1 }, {}, 'c').kind).toBe('conflict');
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }, { id: 'c' }).kind).toBe('conflict');
    expect(desk.balances('all')).toEqual({ '': '1/0' });
  });

  it('that was denied is free', () => {
    const desk = new LedgerDesk(LIMITS);
    expect(desk.reserve({ calls: 101 }, {}, { id: 'x' }).kind).toBe('denied');
    expect(desk.reserve({ calls: 1 }, {}, { id: 'x' })).toMatchObject({ replayed: false });
  });
});

describe('a rename', () => {
  it('moves no balance, and writes the old record as released', async () => {
    const desk = deskWithHold();
    const before = structuredClone(desk.envelopes());
    const answer = desk.rename('h', 'n', 5000);
    expect(answer).toMatchObject({
      kind: 'held',
      replayed: false,
      hold: { id: 'n', state: 'open', resolvedAtMs: null, expiresAtMs: desk.clock.now() + 5000 },
    });
    expect(desk.envelopes()).toEqual(before);
    expect(desk.store.readHoldsSync({ id: 'h' }).items).toMatchObject([
      { state: 'released', resolvedAtMs: desk.clock.now(), expiresAtMs: desk.clock.now() + 1000 },
    ]);
    expect(desk.store.readHoldsSync({}).items.map(({ id }) => id)).toEqual(['n']);
    expect(await desk.audit()).toMatchObject({ charges: 0, mismatches: [] });
    desk.clock.advance(4999);
    expect(desk.reserve({ calls: 91 }).kind).toBe('denied');
    desk.clock.advance(1);
    expect(desk.reserve({ calls: 91 }).kind).toBe('held');
    expect(desk.expiries.map(({ hold }) => hold.id)).toEqual(['n']);
  });

  it('of a hold that is not there, or open no more, is told so and changes nothing', () => {
    const desk = expired('charge');
    expect(desk.rename('never', 'n').kind).toBe('unknown_hold');
    expect(desk.rename('h', 'n', 5000)).toMatchObject({
      kind: 'conflict',
      hold: { id: 'h', state: 'expired_charged' },
      charge: { id: 'h' },
    });
    expect(desk.store.readHoldsSync({ id: 'n' }).items).toEqual([]);
    expect(desk.balances('all')).toEqual({ '': '10/0' });
  });

  it('to its own id is a conflict: it is not open under another', () => {
    const desk = deskWithHold();
    expect(desk.rename('h', 'h')).toMatchObject({ kind: 'conflict', hold: { state: 'open' } });
    expect(desk.balances('all')).toEqual({ '': '0/10' });
  });

  it('says whose id it is that stands for something else', () => {
    const desk = deskWithHold();
    desk.charge({ calls: 1 }, {}, 'c');
    desk.reserve({ calls: 1 }, {}, { id: 'due', ttlMs: 10 });
    desk.clock.advance(10);
    expect(desk.rename('h', 'c')).toMatchObject({ hold: null, charge: { id: 'c' } });
    expect(desk.rename('h', 'due')).toMatchObject({ hold: { id: 'due', state: 'expired' } });
    expect(desk.balances('all')).toEqual({ '': '1/10' });
  });

  it('is remembered by the new hold when the old id is forgotten, and not for a new one', () => {
    const desk = deskWithHold();
    desk.rename('h', 'n', 30 * DAY_MS);
    desk.clock.advance(RESOLVED_HOLD_TTL_MS);
    desk.reserve({ calls: 1 }, {}, { id: 'x' });
    expect(desk.store.readHoldsSync({ id: 'h' }).items).toEqual([]);
    expect(desk.rename('h', 'n')).toMatchObject({ kind: 'held', replayed: true });
    // The id is free again: what it stands for now was never renamed.
    expect(desk.reserve({ calls: 2 }, {}, { id: 'h' })).toMatchObject({ replayed: false });
    expect(desk.rename('h', 'n')).toMatchObject({ kind: 'conflict', hold: { id: 'n' } });
    expect(desk.balances('all')).toEqual({ '': '0/13' });
  });

  it('leaves the truth about the old id to a late charge, beside what is held', async () => {
    const desk = deskWithHold();
    desk.rename('h', 'n');
    expect(desk.release('h')).toMatchObject({ kind: 'released', replayed: true });
    expect(chargeOf(desk.settle('h', { calls: 3 })).late).toBe(true);
    expect(desk.balances('all')).toEqual({ '': '3/10' });
    expect(desk.rename('h', 'n')).toMatchObject({ kind: 'held', replayed: true });
    expect(chargeOf(desk.settle('n', { calls: 4 })).late).toBe(false);
    expect(desk.balances('all')).toEqual({ '': '7/0' });
    expect(await desk.audit()).toMatchObject({ charges: 2, mismatches: [] });
  });

  it('lets occupied units stay occupied', () => {
    const desk = new LedgerDesk(LIMITS);
    desk.reserve({ slots: 3 }, {}, { id: 'h' });
    desk.rename('h', 'n');
    expect(desk.reserve({ slots: 1 }).kind).toBe('denied');
    expect(chargeOf(desk.settle('n')).amounts).toEqual([]);
    expect(desk.reserve({ slots: 3 }).kind).toBe('held');
  });
});

describe('a settle', () => {
  it('charges the units left out as held, and frees the whole hold', () => {
    const desk = new LedgerDesk(LIMITS);
    desk.reserve({ calls: 10, tokens: 500 }, {}, { id: 'h' });
    const charge = chargeOf(desk.settle('h', { tokens: 20 }));
    expect(charge.amounts).toEqual([
      { unit: 'calls', steps: 10 },
      { unit: 'tokens', steps: 20 },
    ]);
    expect(desk.balances('all')).toEqual({ '': '10/0' });
    expect(desk.balances('tokens')).toEqual({ '': '20/0' });
  });

  it('adds labels to the journal and to no envelope', () => {
    const desk = new LedgerDesk([{ name: 'agent', cap: { calls: 10 }, each: ['agent'] }]);
    desk.reserve({ calls: 1 }, { agent: 'a' }, { id: 'h' });
    const charge = chargeOf(desk.settle('h', {}, { agent: 'b', model: 'm' }));
    expect(charge.labels.labels).toEqual({ agent: 'b', model: 'm' });
    expect(desk.balances('agent')).toEqual({ a: '1/0' });
  });

  it('past the cap is recorded in full and marked, at the cap it is not', () => {
    const desk = deskWithHold();
    expect(chargeOf(desk.settle('h', { calls: 100 })).overrun).toBe(false);
    expect(chargeOf(desk.charge({ calls: 1 })).overrun).toBe(true);
    expect(chargeOf(desk.charge({ calls: 0 })).overrun).toBe(false);
    expect(desk.balances('all')).toEqual({ '': '101/0' });
  });
});

describe('occupied units', () => {
  it('come back whole, however the hold ends, and are never in the journal', () => {
    const desk = new LedgerDesk(LIMITS);
    const slotsHeld = () => desk.envelopes().find(({ unit }) => unit === 'slots')?.held;
    for (const id of ['settled', 'released', 'expired']) {
      desk.reserve({ slots: 1, calls: 1 }, {}, { id, ttlMs: 1000, ifAbandoned: 'charge' });
    }
    expect(slotsHeld()).toBe(3);
    expect(desk.reserve({ slots: 1 }).kind).toBe('denied');
    desk.settle('settled');
    desk.release('released');
    expect(slotsHeld()).toBe(1);
    desk.clock.advance(1000);
    desk.store.applySync([]);
    expect(slotsHeld()).toBe(0);
    const units = desk.journal().flatMap(({ amounts, held }) => [...amounts, ...(held ?? [])]);
    expect(new Set(units.map(({ unit }) => unit))).toEqual(new Set(['calls']));
    expect(desk.envelopes().find(({ unit }) => unit === 'slots')?.spent).toBe(0);
  });
});
