import { type Denial, type Labels, openPurse, type Purse } from 'pursestrings';

/** A clock that the replay moves. */
export interface TraceClock {
  timeMs: number;
  now(): number;
}

/** One window of one envelope in which something was spent or denied. */
export interface WindowRow {
  readonly limit: string;
  readonly unit: string;
  readonly labels: Labels;
  readonly start: Date;
  readonly end: Date | null;
  readonly spent: number;
  readonly cap: number;
  readonly denied: number;
}

interface Entry {
  readonly limit: string;
  readonly unit: string;
  readonly labels: Labels;
  readonly start: Date;
  readonly end: Date | null;
  spent: number;
  cap: number;
  denied: number;
}

/** The current window of a limit. */
interface Span {
  readonly start: Date;
  readonly end: Date | null;
}

/**
 * Collects what each window came to. The ledger shows the windows that are current, so the
 * balances are read whenever the trace's clock is about to leave one, and at the end. What was
 * spent is thus the ledger's own number, never a second sum.
 */
export class WindowCollector {
  readonly #purse: Purse;
  readonly #calendar: Purse;
  readonly #clock: TraceClock;
  readonly #entries = new Map<string, Entry>();
  readonly #order: ReadonlyMap<string, number>;
  #spans = new Map<string, Span>();
  #fromMs = Number.POSITIVE_INFINITY;
  #untilMs = Number.NEGATIVE_INFINITY;

  private constructor(
    purse: Purse,
    calendar: Purse,
    clock: TraceClock,
    order: ReadonlyMap<string, number>,
  ) {
    this.#purse = purse;
    this.#calendar = calendar;
    this.#clock = clock;
    this.#order = order;
  }

  /**
   * Opens a collector on a purse that runs on `clock`. The calendar is a purse of its own with the
   * same periods and nothing in it: it knows the window of a limit also where nothing was spent.
   */
  static async open(purse: Purse, clock: TraceClock): Promise<WindowCollector> {
    const limits = await purse.limits();
    const calendar = await openPurse({
      store: 'memory:',
      clock,
      limits: limits.map(({ name, per, timeZone }) => ({
        name,
        cap: { calls: 1 },
        ...(per !== undefined && { per }),
        ...(timeZone !== undefined && { timeZone }),
      })),
    });
    const order = new Map(limits.map(({ name }, index) => [name, index]));
    return new WindowCollector(purse, calendar, clock, order);
  }

  /** Moves the clock. Time may go back: each request falls into the windows of its own time. */
  async moveTo(timeMs: number): Promise<void> {
    if (this.#fromMs <= timeMs && timeMs < this.#untilMs) {
      this.#clock.timeMs = timeMs;
      return;
    }
    if (this.#spans.size > 0) await this.#readBalances();
    this.#clock.timeMs = timeMs;
    await this.#readSpans();
  }

  /** Counts a refusal under the window it happened in. */
  deny(denial: Denial): void {
    if (denial.limit === null) return;
    const span = this.#spans.get(denial.limit);
    if (span === undefined) return;
    const entry = this.#entry(denial.limit, denial.unit, denial.labels, span);
    entry.denied += 1;
    entry.cap = denial.cap;
    entry.spent = Math.max(entry.spent, denial.spent);
  }

  /** Reads the last windows and answers all of them: by limit, then by time. */
  async finish(): Promise<readonly WindowRow[]> {
    if (this.#spans.size > 0) await this.#readBalances();
    await this.#calendar.close();
    const place = (row: Entry): number => this.#order.get(row.limit) ?? 0;
    return [...this.#entries.values()]
      .filter((row) => row.spent > 0 || row.denied > 0)
      .sort(
        (a, b) =>
          place(a) - place(b) ||
          a.start.getTime() - b.start.getTime() ||
          compareText(a.unit, b.unit) ||
          compareText(JSON.stringify(a.labels), JSON.stringify(b.labels)),
      );
  }

  async #readBalances(): Promise<void> {
    for await (const balance of this.#purse.balances()) {
      if (balance.spent <= 0) continue;
      const { limit, unit, labels, window, spent, cap } = balance;
      const entry = this.#entry(limit, unit, labels, window);
      entry.spent = spent;
      entry.cap = cap;
    }
  }

  async #readSpans(): Promise<void> {
    this.#spans = new Map();
    this.#fromMs = Number.NEGATIVE_INFINITY;
    this.#untilMs = Number.POSITIVE_INFINITY;
    for await (const { limit, window } of this.#calendar.balances()) {
      this.#spans.set(limit, window);
      if (window.end === null) continue;
      this.#fromMs = Math.max(this.#fromMs, window.start.getTime());
      this.#untilMs = Math.min(this.#untilMs, window.end.getTime());
    }
  }

  #entry(limit: string, unit: string, labels: Labels, span: Span): Entry {
    const names = Object.keys(labels).sort();
    const values = names.map((name) => [name, labels[name]]);
    const key = JSON.stringify([limit, unit, span.end?.getTime() ?? null, values]);
    const standing = this.#entries.get(key);
    if (standing !== undefined) return standing;
    const { start, end } = span;
    const entry: Entry = { limit, unit, labels, start, end, spent: 0, cap: 0, denied: 0 };
    this.#entries.set(key, entry);
    return entry;
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
