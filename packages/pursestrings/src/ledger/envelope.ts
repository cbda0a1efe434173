import { MAX_ENVELOPE_STEPS } from './amount.ts';
import type { Terms } from './limit.ts';
import type { Line } from './plan.ts';
import { type Crossing, type Envelope, NOTHING_CROSSED } from './records.ts';

/** Rule 2's test: `amount <= (cap - spent) - held`. Soft lines always fit; nothing fits a cap of 0. */
export function fits(line: Line, envelope: Pick<Envelope, 'spent' | 'held'> | undefined): boolean {
  const { capSteps, soft } = line.terms;
  if (soft) return true;
  if (line.steps === 0) return capSteps > 0;
  return line.steps <= capSteps - (envelope?.spent ?? 0) - (envelope?.held ?? 0);
}

/** The envelope that a line falls in, with nothing in it yet. */
export function newEnvelope({ key, terms, each, values, window }: Line): Envelope {
  return {
    key,
    limit: terms.limit,
    unit: terms.unit,
    each,
    values,
    window,
    spent: 0,
    held: 0,
    pruned: 0,
    crossed: NOTHING_CROSSED,
    saturated: false,
    closed: false,
  };
}

/** Sets money aside. */
export function addHeld(envelope: Envelope, steps: number): void {
  if (envelope.held + steps > MAX_ENVELOPE_STEPS) saturate(envelope);
  if (!envelope.saturated) envelope.held += steps;
}

/** Takes back money that was set aside. */
export function freeHeld(envelope: Envelope, steps: number): void {
  // A saturated envelope stopped counting, so it cannot know whether all of it was added.
  envelope.held = envelope.saturated ? Math.max(0, envelope.held - steps) : envelope.held - steps;
}

/** Posts spend; past 2^53 - 1 the envelope is pinned, and denies from then on (rule 3). */
export function addSpent(envelope: Envelope, steps: number): void {
  if (envelope.saturated) return;
  envelope.spent += steps;
  if (envelope.spent > MAX_ENVELOPE_STEPS) saturate(envelope);
}

/** Marks the warnings that `spent` has reached for the first time in this window. */
export function crossWarnings(
  envelope: Envelope,
  terms: Terms,
  crossed: Crossing[] | undefined,
): Crossing[] | undefined {
  let all = crossed;
  for (const { fraction, steps } of terms.warn) {
    if (envelope.spent < steps) break;
    if (envelope.crossed.includes(fraction)) continue;
    envelope.crossed = [...envelope.crossed, fraction];
    all = [...(all ?? []), { limit: terms.limit, unit: terms.unit, fraction }];
  }
  return all;
}

function saturate(envelope: Envelope): void {
  envelope.spent = MAX_ENVELOPE_STEPS;
  envelope.saturated = true;
}
