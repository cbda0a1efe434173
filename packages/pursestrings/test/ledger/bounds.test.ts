import { describe, expect, it } from 'vitest';
import { MAX_AMOUNT_STEPS, MAX_ENVELOPE_STEPS } from '../../src/ledger/amount.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { chargeOf, LedgerDesk } from './ledger-desk.ts';

describe('warnings', () => {
  const limit: Limit = { name: 'day', cap: { usd: '0.00001000' }, per: 'day' };
  const fractionsOf = (desk: LedgerDesk, usd: string): number[] =>
    chargeOf(desk.charge({ usd })).crossed.map(({ fraction }) => fraction);

  it('come with the step that reaches them, once in a window', () => {
    const desk = new LedgerDesk([limit]);
    expect(fractionsOf(desk, '0.00000799')).toEqual([]);
    expect(fractionsOf(desk, '0.00000001')).toEqual([0.8]);
    expect(fractionsOf(desk, '0.00000149')).toEqual([]);
    expect(fractionsOf(desk, '0.00000051')).toEqual([0.95, 1]);
    expect(fractionsOf(desk, '1')).toEqual([]);
    desk.clock.advance(86_400_000);
    expect(fractionsOf(desk, '1')).toEqual([0.8, 0.95, 1]);
  });

  it('come of what is spent and not of what is held', () => {
    const desk = new LedgerDesk([limit]);
    desk.reserve({ usd: '0.00001' }, {}, { id: 'h' });
    expect(fractionsOf(desk, '0')).toEqual([]);
    expect(chargeOf(desk.settle('h')).crossed).toHaveLength(3);
  });

  it('do not come again when a correction took spend back', () => {
    const desk = new LedgerDesk([limit]);
    desk.reserve({ usd: '0.00001' }, {}, { id: 'h', ttlMs: 1000, ifAbandoned: 'charge' });
    desk.clock.advance(1000);
    expect(desk.release('h')).toMatchObject({ charge: { crossed: [] } });
    expect(desk.expiries[0]?.charge?.crossed).toHaveLength(3);
    expect(fractionsOf(desk, '0.00001')).toEqual([]);
  });

  it('come from every limit that is reached', () => {
    const desk = new LedgerDesk([
      { name: 'agent', cap: { calls: 2, tokens: 10 }, each: ['agent'], warnAt: [0.5] },
      { name: 'soft', cap: { calls: 1 }, mode: 'soft', warnAt: [2, 1] },
    ]);
    const { crossed } = chargeOf(desk.charge({ calls: 1, tokens: 4 }, { agent: 'a' }));
    expect(crossed).toEqual([
      { limit: 'agent', unit: 'calls', fraction: 0.5 },
      { limit: 'soft', unit: 'calls', fraction: 1 },
    ]);
    const other = chargeOf(desk.charge({ calls: 1 }, { agent: 'b' }));
    expect(other.crossed).toEqual([
      { limit: 'agent', unit: 'calls', fraction: 0.5 },
      { limit: 'soft', unit: 'calls', fraction: 2 },
    ]);
  });
});

describe('an envelope that would pass 2^53 - 1', () => {
  const limits: readonly Limit[] = [{ name: 'all', cap: { tokens: MAX_ENVELOPE_STEPS } }];

  it('is pinned there, denies, and goes on recording', async () => {
    const desk = new LedgerDesk(limits);
    desk.reserve({ tokens: 5 }, {}, { id: 'before' });
    for (let count = 0; count < 7; count += 1) {
      expect(chargeOf(desk.charge({ tokens: MAX_AMOUNT_STEPS })).overrun).toBe(false);
    }
    expect(desk.envelopes()[0]).toMatchObject({ spent: 7 * 2 ** 50, held: 5, saturated: false });
    expect(chargeOf(desk.charge({ tokens: MAX_AMOUNT_STEPS })).overrun).toBe(true);
    expect(chargeOf(desk.charge({ tokens: 3 })).amounts).toEqual([{ unit: 'tokens', steps: 3 }]);
    expect(desk.envelopes()[0]).toMatchObject({ spent: MAX_ENVELOPE_STEPS, saturated: true });
    expect(desk.reserve({ tokens: 1 }).kind).toBe('denied');
    expect(desk.settle('before', { tokens: 4 }).kind).toBe('charged');
    expect(desk.envelopes()[0]).toMatchObject({ spent: MAX_ENVELOPE_STEPS, held: 0 });
    expect(desk.reserve({ tokens: 1 }).kind).toBe('denied');
    expect(desk.journal()).toHaveLength(10);
    expect((await desk.audit()).mismatches).toEqual([]);
  });

  it('may reach that very step without being pinned', async () => {
    const desk = new LedgerDesk(limits);
    for (let count = 0; count < 7; count += 1) desk.charge({ tokens: MAX_AMOUNT_STEPS });
    desk.charge({ tokens: MAX_AMOUNT_STEPS - 1 });
    expect(desk.envelopes()[0]).toMatchObject({ spent: MAX_ENVELOPE_STEPS, saturated: false });
    expect((await desk.audit()).mismatches).toEqual([]);
    expect(desk.reserve({ tokens: 1 }).kind).toBe('denied');
  });

  it('is not taken below it again by a correction', () => {
    const desk = new LedgerDesk([{ name: 'all', cap: { tokens: 1 }, mode: 'soft' }]);
    const held = { tokens: MAX_AMOUNT_STEPS };
    desk.reserve(held, {}, { id: 'h', ttlMs: 1000, ifAbandoned: 'charge' });
    desk.clock.advance(1000);
    for (let count = 0; count < 8; count += 1) desk.charge(held);
    expect(desk.release('h').kind).toBe('released');
    expect(desk.envelopes()[0]).toMatchObject({ spent: MAX_ENVELOPE_STEPS, saturated: true });
  });

  it('cannot be driven below nothing held by a soft limit', async () => {
    const desk = new LedgerDesk([{ name: 'soft', cap: { tokens: 1 }, mode: 'soft' }]);
    const ids = Array.from({ length: 9 }, (_, index) => `h${index}`);
    for (const id of ids) {
      expect(desk.reserve({ tokens: MAX_AMOUNT_STEPS }, {}, { id }).kind).toBe('held');
    }
    for (const id of ids) expect(desk.release(id).kind).toBe('released');
    expect(desk.envelopes()[0]).toMatchObject({ held: 0, saturated: true });
    expect((await desk.audit()).mismatches).toEqual([]);
  });
});

describe('a store with as many envelopes as it may have', () => {
  it('denies a reserve that needs one more, by name, and records every charge', () => {
    const limits: readonly Limit[] = [
      { name: 'all', cap: { calls: 10 } },
      { name: 'agent', cap: { calls: 10 }, each: ['agent'] },
    ];
    const desk = new LedgerDesk(limits, undefined, { maxEnvelopes: 2 });
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }).kind).toBe('held');
    const denied = desk.reserve({ calls: 1 }, { agent: 'b' });
    expect(denied).toMatchObject({ kind: 'denied', reason: 'too_many_envelopes' });
    if (denied.kind !== 'denied') return;
    expect(denied.shortfalls.map(({ line }) => line.terms.limit)).toEqual(['agent']);
    expect(desk.balances('all')).toEqual({ '': '0/1' });
    expect(desk.reserve({ calls: 1 }, { agent: 'a' }).kind).toBe('held');
    expect(desk.charge({ calls: 1 }, { agent: 'c' }).kind).toBe('charged');
    expect(desk.balances('agent')).toEqual({ a: '0/2', c: '1/0' });
  });
});
