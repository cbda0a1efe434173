import { InvariantError } from '../../errors.ts';
import type {
  Answer,
  Applied,
  ChargeOperation,
  ChargeRecord,
  Crossing,
  HoldState,
  Operation,
  ReserveOperation,
  SettleOperation,
} from '../../ledger/records.ts';
import {
  type ChargeRow,
  type HoldRow,
  readAmounts,
  readCharge,
  readCrossings,
  readFlags,
  readHold,
  STATES,
} from './rows.ts';
import { unpack } from './text.ts';

/** What `apply` answers with, in JSON: for each operation a list that begins with a number. */
export interface AppliedText {
  readonly now: number;
  /** Something was written, and with it the denials that came along. */
  readonly wrote: boolean;
  readonly answers: readonly AnswerText[];
  readonly expiries: readonly (readonly [HoldRow, ChargeRow | null])[];
}

type Shortfalls = readonly (readonly [line: number, spent: number, held: number])[];

type AnswerText =
  | readonly [0, expiresAtMs: number]
  | readonly [1, hold: HoldRow, replayed: boolean]
  | readonly [
      2,
      flags: number,
      units: string,
      steps: readonly number[],
      heldUnits: string | null,
      heldSteps: readonly number[] | null,
      description: string | null,
      crossed: readonly Crossing[],
    ]
  | readonly [3, charge: ChargeRow, replayed: boolean]
  | readonly [4, reason: 0 | 1 | 2, shortfalls: Shortfalls]
  | readonly [5 | 6 | 10 | 11 | 12 | 14]
  | readonly [7, charge: ChargeRow, replayed: boolean]
  | readonly [8, expiresAtMs: number]
  | readonly [9, state: number]
  | readonly [13, hold: HoldRow | null, charge: ChargeRow | null];

/** Reads the answers to a batch. */
export function readApplied(text: AppliedText, operations: readonly Operation[]): Applied {
  return {
    nowMs: text.now,
    answers: text.answers.map((answer, index) =>
      readAnswer(answer, operations[index] as Operation, text.now),
    ),
    expiries: text.expiries.map(([hold, charge]) => ({
      hold: readHold(hold),
      charge: charge === null ? null : readCharge(charge),
    })),
  };
}

function readAnswer(answer: AnswerText, operation: Operation, nowMs: number): Answer {
  switch (answer[0]) {
    case 0:
      return held(operation as ReserveOperation, answer[1]);
    case 1:
      return { kind: 'held', hold: readHold(answer[1]), replayed: answer[2] };
    case 2:
      return {
        kind: 'charged',
        charge: charged(answer, operation as SettleOperation | ChargeOperation, nowMs),
        replayed: false,
      };
    case 3:
      return { kind: 'charged', charge: readCharge(answer[1]), replayed: answer[2] };
    case 4:
      return denied(operation as ReserveOperation, answer[1], answer[2]);
    case 5:
    case 6:
      return { kind: 'released', charge: null, replayed: answer[0] === 6 };
    case 7:
      return { kind: 'released', charge: readCharge(answer[1]), replayed: answer[2] };
    case 8:
      return { kind: 'extended', expiresAtMs: answer[1] };
    case 9:
      return { kind: 'resolved', state: STATES[answer[1]] as HoldState };
    case 10:
      return { kind: 'again' };
    case 11:
      return { kind: 'stale' };
    case 12:
      return { kind: 'outside_window' };
    case 13:
      return {
        kind: 'conflict',
        hold: answer[1] === null ? null : readHold(answer[1]),
        charge: answer[2] === null ? null : readCharge(answer[2]),
      };
    case 14:
      return { kind: 'unknown_hold' };
    default:
      throw new InvariantError(`Postgres gave an answer that is none: ${JSON.stringify(answer)}`);
  }
}

/** A hold that was just taken: what was asked, with the time that it lives until. */
function held(op: ReserveOperation, expiresAtMs: number): Answer {
  const { id, amounts, labels, description, ifAbandoned, occupied, said } = op;
  return {
    kind: 'held',
    replayed: false,
    hold: {
      id,
      amounts,
      labels,
      description,
      ifAbandoned,
      occupied,
      said,
      lines: [],
      expiresAtMs,
      state: 'open',
      resolvedAtMs: null,
      charge: undefined,
    },
  };
}

function charged(
  answer: Extract<AnswerText, readonly [2, ...unknown[]]>,
  op: SettleOperation | ChargeOperation,
  nowMs: number,
): ChargeRecord {
  const [, flags, units, steps, heldUnits, heldSteps, description, crossed] = answer;
  return {
    id: op.id,
    atMs: nowMs,
    amounts: readAmounts(units, steps),
    labels: op.labels,
    description: op.description ?? (description === null ? undefined : unpack(description)),
    held: heldUnits === null || heldSteps === null ? undefined : readAmounts(heldUnits, heldSteps),
    ...readFlags(flags),
    corrects: undefined,
    crossed: readCrossings(crossed),
    lines: [],
  };
}

function denied(op: ReserveOperation, reason: 0 | 1 | 2, shortfalls: Shortfalls): Answer {
  return {
    kind: 'denied',
    reason:
      reason === 0 ? (op.refusal ?? 'uncovered') : reason === 1 ? 'exceeds' : 'too_many_envelopes',
    shortfalls: shortfalls.flatMap(([index, spent, heldSteps]) => {
      const line = op.lines[index];
      return line === undefined ? [] : [{ line, spent, held: heldSteps }];
    }),
  };
}
