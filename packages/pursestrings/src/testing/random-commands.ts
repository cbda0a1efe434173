import type { Command } from './commands.ts';
import type { ModelAmounts, ModelLabels, ModelLimit } from './ledger-model.ts';

/** Draws a whole number from 0 up to but not including `below`. */
export type Draw = (below: number) => number;

/** Limits at which a few small spends collide in every way: nested, soft, by label, blocked. */
export const MODEL_LIMITS: readonly ModelLimit[] = [
  { name: 'all', cap: { tokens: 40, calls: 12 }, per: 'day' },
  { name: 'agent', cap: { tokens: 20 }, per: 'hour', each: ['agent'] },
  { name: 'task', cap: { tokens: 15 }, each: ['task', 'agent'] },
  { name: 'soft', cap: { tokens: 5 }, mode: 'soft' },
  { name: 'special', cap: { tokens: 8 }, where: { agent: 'a1' } },
  { name: 'slots', cap: { slots: 3 } },
];

/**
 * A seeded source of draws: the same seed, the same commands, on every machine. (The generator is
 * Mulberry32, by Tommy Ettinger, in the public domain.)
 */
export function seededDraw(seed: number): Draw {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Draws a command. Ids are few, so that most commands meet something that happened before. */
export function randomCommand(draw: Draw): Command {
  const kind = draw(100);
  if (kind < 34) return reserve(draw);
  if (kind < 48) return { do: 'settle', id: knownId(draw), amounts: settleAmounts(draw) };
  if (kind < 53) return { do: 'release', id: knownId(draw) };
  if (kind < 58) return { do: 'extend', id: knownId(draw), ttlMs: ttlMs(draw) };
  if (kind < 70) return rename(draw);
  if (kind < 73) return { do: 'takeUp', id: knownId(draw), expired: draw(2) === 0 };
  if (kind < 80) {
    return { do: 'charge', id: `c${draw(6)}`, amounts: { tokens: draw(6) }, labels: labels(draw) };
  }
  if (kind < 92) return { do: 'advance', byMs: 1 + draw(25 * 60_000) };
  if (kind < 95) return { do: 'setLimit', limit: changedLimit(draw) };
  if (kind < 97) return { do: 'freeze', where: { agent: agent(draw) } };
  return { do: 'unfreeze', where: { agent: agent(draw) } };
}

function reserve(draw: Draw): Command {
  const id = draw(20) === 0 ? `c${draw(6)}` : holdId(draw);
  const ifAbandoned = draw(2) === 0 ? 'release' : 'charge';
  return {
    do: 'reserve',
    id,
    amounts: amounts(draw),
    labels: labels(draw),
    ttlMs: ttlMs(draw),
    ifAbandoned,
  };
}

/**
 * Mostly to the id that comes from the hold's own, so that many are repeated; else to one that a
 * charge or another hold may have.
 */
function rename(draw: Draw): Command {
  const id = knownId(draw);
  const place = draw(6);
  const wanted = place === 0 ? `c${draw(6)}` : place === 1 ? holdId(draw) : renamed(id);
  // A hold's own id is refused before the ledger is asked.
  const newId = wanted === id ? renamed(id) : wanted;
  return { do: 'rename', id, newId, ttlMs: draw(2) === 0 ? ttlMs(draw) : undefined };
}

function changedLimit(draw: Draw): ModelLimit {
  const limit = MODEL_LIMITS[draw(3)] as ModelLimit;
  return { ...limit, cap: { ...limit.cap, tokens: draw(45) } };
}

function amounts(draw: Draw): ModelAmounts {
  const spend: ModelAmounts = { tokens: draw(9) };
  switch (draw(4)) {
    case 0:
      return { ...spend, calls: draw(3) };
    case 1:
      return { ...spend, slots: 1 };
    default:
      return spend;
  }
}

function settleAmounts(draw: Draw): ModelAmounts {
  switch (draw(4)) {
    case 0:
      return {};
    case 1:
      return { tokens: draw(12), calls: draw(2) };
    default:
      return { tokens: draw(8) };
  }
}

function labels(draw: Draw): ModelLabels {
  switch (draw(4)) {
    case 0:
      return {};
    case 1:
      return { agent: agent(draw) };
    default:
      return { agent: agent(draw), task: `t${draw(2)}` };
  }
}

const agent = (draw: Draw): string => `a${draw(3)}`;
const holdId = (draw: Draw): string => `h${draw(10)}`;
const renamed = (id: string): string => `${id}r`;
const knownId = (draw: Draw): string => (draw(4) === 0 ? renamed(holdId(draw)) : holdId(draw));
const ttlMs = (draw: Draw): number => 1 + draw(40 * 60_000);
