import {
  type Answer,
  type Applied,
  type ChargeRecord,
  type Expiry,
  type HeldLine,
  type HoldRecord,
  type HoldState,
  type Operation,
  type ReserveOperation,
  type Shortfall,
} from '../../ledger/records.ts';
import { newEnvelope } from '../../ledger/envelope.ts';
import { InvariantError } from '../../errors.ts';
import {
  amountsText,
  flatAmounts,
  type GroundList,
  type HoldText,
  labelsText,
  linesText,
  type OutcomeText,
  readHold,
  readRow,
  type RowText,
} from './texts.ts';

/** Writes an operation as the script reads it; the grounds of its lines go into a list for all. */
export function operationText(op: Operation, grounds: GroundList): string {
  switch (op.kind) {
    case 'reserve':
      return reserveText(op, grounds);
    case 'settle': {
      const { id, ifUnresolved, revision, amounts, labels, description } = op;
      const said = [flatAmounts(amounts), labels.key, description ?? null];
      const asked = JSON.stringify(['settle', id, ifUnresolved, revision, ...said]);
      return `${asked.slice(0, -1)},[${linesText(op.lines, grounds)}]]`;
    }
    case 'charge': {
      const { id, revision, amounts, labels, description, late } = op;
      const said = [flatAmounts(amounts), labels.key, description ?? null];
      const asked = JSON.stringify(['charge', id, revision, ...said, late]);
      return `${asked.slice(0, -1)},[${linesText(op.lines, grounds)}]]`;
    }
    case 'release':
      return JSON.stringify([op.kind, op.id]);
    case 'extend':
      return JSON.stringify([op.kind, op.id, op.ttlMs]);
    case 'rename':
      return JSON.stringify([op.kind, op.id, op.newId, op.ttlMs]);
  }
}

/** A reserve is kept as it was asked for: what a settle needs in one line, the rest in another. */
function reserveText(op: ReserveOperation, grounds: GroundList): string {
  const occupied = op.occupied.length === 0 ? '[]' : JSON.stringify(op.occupied);
  const refusal = op.refusal === null ? 'null' : `"${op.refusal}"`;
  const description = op.description === undefined ? 'null' : JSON.stringify(op.description);
  const lines = linesText(op.lines, grounds);
  return (
    `["reserve",${JSON.stringify(op.id)},${op.revision},${refusal},${op.ttlMs},` +
    `${amountsText(op.amounts)},${occupied},${description},${op.tentative === true}` +
    `${lines === '' ? '' : `,${lines}`}]\n${labelsText(op)}`
  );
}

/** A charge made by this very operation, without what the operation says. */
type MadeText = readonly [kind: 'made', ...OutcomeText];

type AnswerText =
  | readonly ['taken', number]
  | readonly ['held', HoldText, boolean]
  | readonly ['charged', RowText, boolean]
  | MadeText
  | readonly ['released', RowText | null, boolean]
  | readonly ['extended', number]
  | readonly ['resolved', HoldState]
  | readonly ['denied', Extract<Answer, { kind: 'denied' }>['reason'], readonly number[]]
  | readonly ['conflict', HoldText | null, RowText | null]
  | readonly ['again' | 'stale' | 'outside_window' | 'unknown_hold'];

/** Reads what the script answered to a batch. */
export function readApplied(text: string, operations: readonly Operation[]): Applied {
  const [nowMs, answers, expiries] = JSON.parse(text) as [
    number,
    readonly AnswerText[],
    readonly (readonly [HoldText, RowText | null])[],
  ];
  return {
    nowMs,
    answers: answers.map((answer, index) =>
      readAnswer(answer, operations[index] as Operation, nowMs),
    ),
    expiries: expiries.map(([hold, row]): Expiry => ({
      hold: readHold(hold),
      charge: row === null ? null : readRow(row),
    })),
  };
}

function readAnswer(answer: AnswerText, operation: Operation, nowMs: number): Answer {
  switch (answer[0]) {
    case 'taken':
      return { kind: 'held', hold: takenHold(asReserve(operation), answer[1]), replayed: false };
    case 'held':
      return { kind: 'held', hold: readHold(answer[1]), replayed: answer[2] };
    case 'charged':
      return { kind: 'charged', charge: readRow(answer[1]), replayed: answer[2] };
    case 'made':
      return { kind: 'charged', charge: madeCharge(operation, answer, nowMs), replayed: false };
    case 'released': {
      const charge = answer[1] === null ? null : readRow(answer[1]);
      return { kind: 'released', charge, replayed: answer[2] };
    }
    case 'extended':
      return { kind: 'extended', expiresAtMs: answer[1] };
    case 'resolved':
      return { kind: 'resolved', state: answer[1] };
    case 'denied':
      return {
        kind: 'denied',
        reason: answer[1],
        shortfalls: readShortfalls(asReserve(operation), answer[2]),
      };
    case 'conflict':
      return {
        kind: 'conflict',
        hold: answer[1] === null ? null : readHold(answer[1]),
        charge: answer[2] === null ? null : readRow(answer[2]),
      };
    default:
      return { kind: answer[0] };
  }
}

function asReserve(operation: Operation): ReserveOperation {
  if (operation.kind === 'reserve') return operation;
  throw new InvariantError(`The script answered to a ${operation.kind} as to a reserve`);
}

const NO_NUMBERS: readonly number[] = [];

function madeCharge(operation: Operation, [, ...outcome]: MadeText, nowMs: number): ChargeRecord {
  if (operation.kind !== 'settle' && operation.kind !== 'charge') {
    throw new InvariantError(`The script answered to a ${operation.kind} as to a charge`);
  }
  return readRow([operation.id, nowMs, operation.labels, ...outcome, null, NO_NUMBERS]);
}

/** The hold that a reserve took: nobody needs to be told what they asked for. */
function takenHold(op: ReserveOperation, expiresAtMs: number): HoldRecord {
  return new TakenHold(op, expiresAtMs);
}

class TakenHold implements HoldRecord {
  readonly id: string;
  readonly amounts: HoldRecord['amounts'];
  readonly labels: HoldRecord['labels'];
  readonly description: string | undefined;
  readonly ifAbandoned: HoldRecord['ifAbandoned'];
  readonly occupied: readonly string[];
  readonly said: string;
  expiresAtMs: number;
  state: HoldState = 'open';
  resolvedAtMs: number | null = null;
  charge: undefined;
  readonly #planned: ReserveOperation['lines'];

  constructor(op: ReserveOperation, expiresAtMs: number) {
    this.id = op.id;
    this.amounts = op.amounts;
    this.labels = op.labels;
    this.description = op.description;
    this.ifAbandoned = op.ifAbandoned;
    this.occupied = op.occupied;
    this.said = op.said;
    this.#planned = op.lines;
    this.expiresAtMs = expiresAtMs;
  }

  /** Made when somebody asks: few do. */
  get lines(): readonly HeldLine[] {
    return this.#planned.map((line) => ({ terms: line.terms, envelope: newEnvelope(line) }));
  }
}

/** Reads lines that fell short: their place among the lines, spent and held. */
function readShortfalls(op: ReserveOperation, flat: readonly number[]): readonly Shortfall[] {
  const shortfalls: Shortfall[] = [];
  for (let index = 0; index < flat.length; index += 3) {
    const [place, spent, held] = flat.slice(index, index + 3) as [number, number, number];
    const line = op.lines[place];
    if (line !== undefined) shortfalls.push({ line, spent, held });
  }
  return shortfalls;
}
