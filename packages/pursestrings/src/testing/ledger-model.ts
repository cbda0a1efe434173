/**
 * The oracle: what a ledger must answer, worked out in the most naive way. It keeps a list of
 * holds and a list of charges and adds them all up again for every question, so there is no
 * running balance that could go wrong. It plans by itself, in UTC, and shares no code with the
 * ledger.
 */

/** Whole numbers by unit. */
export type ModelAmounts = Readonly<Record<string, number>>;

/** Labels as everywhere. */
export type ModelLabels = Readonly<Record<string, string>>;

/** A limit the model understands: the periods that need no time zone. */
export interface ModelLimit {
  readonly name: string;
  readonly cap: ModelAmounts;
  readonly per?: 'hour' | 'day' | 'total';
  readonly where?: Readonly<Record<string, string>>;
  readonly each?: readonly string[];
  readonly mode?: 'hard' | 'soft';
}

/** How a model reserves. */
export interface ModelReserve {
  readonly id: string;
  readonly amounts: ModelAmounts;
  readonly labels: ModelLabels;
  readonly ttlMs: number;
  readonly ifAbandoned: 'release' | 'charge';
}

/** What came of a command, in one line of text: equal outcomes are equal texts. */
export type Outcome = string;

interface Line {
  /** Limit, unit and values, as a refusal names them. */
  readonly name: string;
  /** The same with the window: one envelope. */
  readonly key: string;
  readonly unit: string;
  readonly cap: number;
}

interface ModelHold extends ModelReserve {
  /** The id that it was taken over from by a rename. */
  readonly renamedFrom?: string;
  readonly lines: readonly Line[];
  expiresAtMs: number;
  state: 'open' | 'settled' | 'released' | 'expired' | 'expired_charged' | 'corrected';
}

interface ModelCharge {
  readonly id: string;
  readonly amounts: ModelAmounts;
  readonly labels: ModelLabels;
  readonly lines: readonly Line[];
  readonly outcome: Outcome;
}

const HOUR_MS = 3_600_000;
const OCCUPIED = 'slots';

/** A ledger worked out from its whole history at every question. */
export class LedgerModel {
  readonly #limits = new Map<string, ModelLimit>();
  readonly #freezes: ModelLabels[] = [];
  readonly #holds = new Map<string, ModelHold>();
  readonly #charges: ModelCharge[] = [];
  #nowMs: number;

  constructor(limits: readonly ModelLimit[], nowMs: number) {
    for (const limit of limits) this.#limits.set(limit.name, limit);
    this.#nowMs = nowMs;
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
  }

  setLimit(limit: ModelLimit): void {
    this.#limits.set(limit.name, limit);
  }

  freeze(where: ModelLabels): void {
    this.#freezes.push(where);
  }

  unfreeze(where: ModelLabels): void {
    const text = textOf(where);
    const rest = this.#freezes.filter((freeze) => textOf(freeze) !== text);
    this.#freezes.splice(0, this.#freezes.length, ...rest);
  }

  reserve(reserve: ModelReserve): Outcome {
    this.#expireDue();
    const known = this.#holds.get(reserve.id);
    if (known !== undefined) {
      const same = known.renamedFrom === undefined && sameReserve(known, reserve);
      return same ? 'held' : 'conflict';
    }
    if (this.#charge(reserve.id) !== undefined) return 'conflict';
    if (this.#freezes.some((where) => carries(reserve.labels, where))) return 'denied frozen';
    const lines = this.#plan(reserve.amounts, reserve.labels);
    if (lines.length === 0) return 'denied uncovered';
    const short = lines.filter(
      ({ key, unit, cap }) => !this.#fits(key, amountOf(reserve.amounts, unit), cap),
    );
    if (short.length > 0) return `denied ${short.map((line) => line.name).join(', ')}`;
    const expiresAtMs = this.#nowMs + reserve.ttlMs;
    this.#holds.set(reserve.id, { ...reserve, lines, expiresAtMs, state: 'open' });
    return 'held';
  }

  settle(id: string, said: ModelAmounts): Outcome {
    this.#expireDue();
    const hold = this.#holds.get(id);
    if (hold === undefined) return 'unknown';
    const actual = charged({ ...hold.amounts, ...said });
    if (hold.state === 'settled' || hold.state === 'corrected') return this.#replay(hold, actual);
    const beyond = Object.entries(charged(said)).filter(([unit]) => !(unit in hold.amounts));
    const lines = [...hold.lines, ...this.#plan(Object.fromEntries(beyond), hold.labels)];
    if (hold.state === 'expired_charged') return this.#correct(hold, actual, lines);
    const late = hold.state !== 'open';
    hold.state = 'settled';
    return this.#post(id, actual, hold.labels, lines, late);
  }

  release(id: string): Outcome {
    this.#expireDue();
    const hold = this.#holds.get(id);
    if (hold === undefined) return 'unknown';
    switch (hold.state) {
      case 'open':
        hold.state = 'released';
        return 'released';
      case 'released':
      case 'expired':
        return 'released';
      case 'expired_charged':
        this.#correct(hold, zero(charged(hold.amounts)), hold.lines);
        return 'released';
      case 'corrected':
        return this.#replay(hold, zero(charged(hold.amounts))) === 'conflict'
          ? 'conflict'
          : 'released';
      default:
        return 'conflict';
    }
  }

  extend(id: string, ttlMs: number): Outcome {
    this.#expireDue();
    const hold = this.#holds.get(id);
    if (hold === undefined) return 'unknown';
    if (hold.state !== 'open') return 'conflict';
    hold.expiresAtMs = Math.max(hold.expiresAtMs, this.#nowMs + ttlMs);
    return `extended ${hold.expiresAtMs}`;
  }

  rename(id: string, newId: string, ttlMs: number | undefined): Outcome {
    this.#expireDue();
    const hold = this.#holds.get(id);
    const standing = this.#holds.get(newId);
    if (hold === undefined) return 'unknown';
    if (standing?.renamedFrom === id && hold.state !== 'open') {
      return `renamed ${standing.expiresAtMs}`;
    }
    if (hold.state !== 'open' || standing !== undefined) return 'conflict';
    if (this.#charge(newId) !== undefined) return 'conflict';
    const expiresAtMs = Math.max(hold.expiresAtMs, this.#nowMs + (ttlMs ?? 0));
    this.#holds.set(newId, { ...hold, id: newId, renamedFrom: id, expiresAtMs });
    hold.state = 'released';
    return `renamed ${expiresAtMs}`;
  }

  /** Says whether a hold can be taken up: an open one, or an expired one left unresolved. */
  takeUp(id: string, expired: boolean): Outcome {
    this.#expireDue();
    const state = this.#holds.get(id)?.state;
    if (state === 'open') return 'found';
    return expired && (state === 'expired' || state === 'expired_charged') ? 'found' : 'none';
  }

  charge(id: string, amounts: ModelAmounts, labels: ModelLabels): Outcome {
    this.#expireDue();
    if (this.#holds.has(id)) return 'conflict';
    const known = this.#charge(id);
    if (known === undefined)
      return this.#post(id, amounts, labels, this.#plan(amounts, labels), false);
    const same =
      textOf(known.amounts) === textOf(amounts) && textOf(known.labels) === textOf(labels);
    return same ? known.outcome : 'conflict';
  }

  /** Spent and held of each envelope that is not empty, by `limit unit window values`. */
  balances(): ReadonlyMap<string, { readonly spent: number; readonly held: number }> {
    this.#expireDue();
    const keys = [...this.#holds.values(), ...this.#charges].flatMap(({ lines }) =>
      lines.map(({ key }) => key),
    );
    const all = [...new Set(keys)]
      .sort()
      .map((key) => [key, { spent: this.#spent(key), held: this.#held(key) }] as const);
    return new Map(all.filter(([, { spent, held }]) => spent !== 0 || held !== 0));
  }

  /** Everything charged, by unit. */
  total(): ModelAmounts {
    this.#expireDue();
    const total: Record<string, number> = {};
    for (const { amounts } of this.#charges) {
      for (const [unit, amount] of Object.entries(amounts))
        total[unit] = (total[unit] ?? 0) + amount;
    }
    return total;
  }

  #expireDue(): void {
    const due = [...this.#holds.values()].filter(
      ({ state, expiresAtMs }) => state === 'open' && expiresAtMs <= this.#nowMs,
    );
    for (const hold of due.sort((a, b) => a.expiresAtMs - b.expiresAtMs)) {
      hold.state = hold.ifAbandoned === 'charge' ? 'expired_charged' : 'expired';
      if (hold.ifAbandoned === 'charge')
        this.#post(hold.id, charged(hold.amounts), hold.labels, hold.lines, false);
    }
  }

  #plan(amounts: ModelAmounts, labels: ModelLabels): Line[] {
    const lines: Line[] = [];
    for (const { name, cap, per, where, each, mode } of this.#limits.values()) {
      if (!carries(labels, where ?? {})) continue;
      for (const [unit, most] of Object.entries(cap)) {
        if (!(unit in amounts)) continue;
        const window = windowName(per, this.#nowMs);
        const values = (each ?? []).toSorted().map((label) => JSON.stringify(labels[label] ?? ''));
        const key = [name, unit, window, ...values].join(' ');
        const said = [name, unit, ...values].join(' ');
        lines.push({
          name: said,
          key,
          unit,
          cap: mode === 'soft' ? Number.POSITIVE_INFINITY : most,
        });
      }
    }
    return lines;
  }

  #fits(key: string, amount: number, cap: number): boolean {
    if (amount === 0) return cap > 0;
    return this.#spent(key) + this.#held(key) + amount <= cap;
  }

  #spent(key: string): number {
    let spent = 0;
    for (const { lines, amounts } of this.#charges) {
      for (const line of lines) if (line.key === key) spent += amountOf(amounts, line.unit);
    }
    return spent;
  }

  #held(key: string): number {
    let held = 0;
    for (const { lines, amounts, state } of this.#holds.values()) {
      if (state !== 'open') continue;
      for (const line of lines) if (line.key === key) held += amountOf(amounts, line.unit);
    }
    return held;
  }

  #post(
    id: string,
    amounts: ModelAmounts,
    labels: ModelLabels,
    lines: readonly Line[],
    late: boolean,
  ): Outcome {
    const outcome = `charged ${textOf(amounts)}${late ? ' late' : ''}`;
    this.#charges.push({ id, amounts, labels, lines, outcome });
    return outcome;
  }

  #correct(hold: ModelHold, actual: ModelAmounts, lines: readonly Line[]): Outcome {
    hold.state = 'corrected';
    const amounts = minus(actual, charged(hold.amounts));
    return this.#post(`correction ${hold.id}`, amounts, hold.labels, lines, true);
  }

  #replay(hold: ModelHold, actual: ModelAmounts): Outcome {
    const corrected = hold.state === 'corrected';
    const recorded = this.#charge(corrected ? `correction ${hold.id}` : hold.id);
    const amounts = corrected ? minus(actual, charged(hold.amounts)) : actual;
    return recorded !== undefined && textOf(recorded.amounts) === textOf(amounts)
      ? recorded.outcome
      : 'conflict';
  }

  #charge(id: string): ModelCharge | undefined {
    return this.#charges.find((charge) => charge.id === id);
  }
}

/** Writes amounts or labels in one order. */
export function textOf(record: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names a window: the start of the UTC hour or day. */
export function windowName(per: ModelLimit['per'], nowMs: number): string {
  if (per === 'hour') return `${Math.floor(nowMs / HOUR_MS) * HOUR_MS}`;
  if (per === 'day') return `${Math.floor(nowMs / (24 * HOUR_MS)) * 24 * HOUR_MS}`;
  return '0';
}

function amountOf(amounts: ModelAmounts, unit: string): number {
  return amounts[unit] ?? 0;
}

function carries(labels: ModelLabels, where: Readonly<Record<string, string>>): boolean {
  return Object.entries(where).every(([label, value]) => (labels[label] ?? '') === value);
}

function charged(amounts: ModelAmounts): ModelAmounts {
  return Object.fromEntries(Object.entries(amounts).filter(([unit]) => unit !== OCCUPIED));
}

function zero(amounts: ModelAmounts): ModelAmounts {
  return Object.fromEntries(Object.keys(amounts).map((unit) => [unit, 0]));
}

function minus(actual: ModelAmounts, taken: ModelAmounts): ModelAmounts {
  const units = new Set([...Object.keys(actual), ...Object.keys(taken)]);
  return Object.fromEntries(
    [...units].map((unit) => [unit, amountOf(actual, unit) - amountOf(taken, unit)]),
  );
}

function sameReserve(a: ModelReserve, b: ModelReserve): boolean {
  return (
    textOf(a.amounts) === textOf(b.amounts) &&
    textOf(a.labels) === textOf(b.labels) &&
    a.ttlMs === b.ttlMs &&
    a.ifAbandoned === b.ifAbandoned
  );
}
