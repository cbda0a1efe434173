import { toCharge } from './charge.ts';
import { type Denial, frozenDenial, shortfallDenials, uncoveredDenial } from './denial.ts';
import { ConflictError, HoldNotFoundError, InvariantError, StoreError } from './errors.ts';
import type { Hold } from './hold.ts';
import { toDecimalText } from './ledger/amount.ts';
import type { Labels } from './ledger/labels.ts';
import type { Freeze } from './ledger/policy.ts';
import type { Answer, ChargeRecord, HoldRecord } from './ledger/records.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';

/** A spend that was denied, as it was asked for. */
export interface Asked {
  readonly amounts: StepAmounts;
  readonly labels: Labels;
  readonly freeze: Freeze | undefined;
}

/** Says in full why a store denied a spend. */
export function denialsOf(
  answer: Extract<Answer, { kind: 'denied' }>,
  asked: Asked,
  units: Units,
): readonly Denial[] {
  switch (answer.reason) {
    case 'frozen':
      return [frozenDenial(asked.freeze, asked.amounts, units)];
    case 'uncovered':
      return [uncoveredDenial(asked.labels, asked.amounts, units)];
    default:
      return shortfallDenials(answer.reason, answer.shortfalls, units);
  }
}

/** What an answer that is not the one hoped for is thrown as. */
export function refusalOf(id: string, answer: Answer, units: Units): Error {
  switch (answer.kind) {
    case 'conflict':
      return conflict(id, answer.hold, answer.charge, units);
    case 'unknown_hold':
      return new HoldNotFoundError(
        id,
        `No hold ${JSON.stringify(id)} is known: it was never taken, or was resolved more than 7 days ago`,
      );
    default:
      return new InvariantError(
        `The store answered ${answer.kind} to an operation on ${JSON.stringify(id)}`,
      );
  }
}

function conflict(
  id: string,
  hold: HoldRecord | null,
  charge: ChargeRecord | null,
  units: Units,
): ConflictError {
  const held = hold === null ? '' : `a hold of ${describe(hold.amounts, units)} (${hold.state})`;
  const charged = charge === null ? '' : `a charge of ${describe(charge.amounts, units)}`;
  const recorded = {
    hold: hold?.state ?? null,
    charge: charge === null ? null : toCharge(charge, units, true),
  };
  return new ConflictError(
    id,
    recorded,
    `Id ${JSON.stringify(id)} already stands for ${[held, charged].filter(Boolean).join(' and ')}; ` +
      `repeat that exactly, or give a new spend a new id`,
  );
}

function describe(amounts: StepAmounts, units: Units): string {
  const parts = amounts.map(
    ({ unit, steps }) => `${toDecimalText(steps, units.get(unit)?.decimals ?? 0)} ${unit}`,
  );
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

/** What a purse that was closed is asked for. */
export function purseClosed(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'closed',
    'This purse is closed; open another with openPurse()',
  );
}

/** Says that the work of an id was done before. */
export function alreadyDone({ id }: Hold): ConflictError {
  return new ConflictError(
    id,
    { hold: 'resolved', charge: null },
    `The work of ${JSON.stringify(id)} was done before: its hold is settled or released. ` +
      `Give new work a new id`,
  );
}
