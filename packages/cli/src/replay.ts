import type { Denial, Labels, Purse } from 'pursestrings';
import { type TraceClock, WindowCollector, type WindowRow } from './replay-windows.ts';
import { addTo, amountsOf, emptyTally, type Tally, type TallyAmounts, usdText } from './tally.ts';
import type { BadRow, TraceRequest, TraceRow } from './trace.ts';

/** How many bad rows are kept by line; the others are counted. */
const MAX_BAD_ROW_DETAILS = 100;

/** Past so many models the others are added up, so that no trace can fill the memory. */
const MAX_LABEL_ROWS = 1000;
const OTHER_MODELS = '(other)';

/** A ledger forgets a window a day after it closed. */
const DAY_MS = 86_400_000;

/** Prices a request in whole steps of USD, or says why it has no price. */
export type PriceOf = (
  model: string,
  promptTokens: number,
  completionTokens: number,
) => bigint | string;

/** What a replay needs: a purse on the trace's clock, the rows, and their prices. */
export interface ReplaySetup {
  readonly purse: Purse;
  readonly clock: TraceClock;
  readonly rows: AsyncIterable<TraceRow>;
  readonly priceOf: PriceOf;
  /** The model of rows that name none. */
  readonly model: string | undefined;
  /** What the model column is called, for rows whose model has no price. */
  readonly modelColumn: string | null;
  readonly onRow?: (rows: number) => void;
}

/** What became of the requests with one set of labels. */
interface LabelRow {
  readonly labels: Labels;
  readonly requests: number;
  readonly admitted: number;
  readonly denied: number;
  readonly spent: TallyAmounts;
  readonly unlimited: TallyAmounts;
}

/** The answer of a replay; `--json` prints it as it is. */
export interface ReplayResult {
  /** Rows that were valid requests: `admitted + denied`. Bad rows are not among them. */
  readonly requests: number;
  readonly admitted: number;
  readonly denied: number;
  readonly badRows: number;
  /** The first bad rows, at most 100; `badRows` counts them all. */
  readonly badRowDetails: readonly BadRow[];
  readonly spent: TallyAmounts;
  /** What all requests would have come to without limits. */
  readonly unlimited: TallyAmounts;
  readonly since: Date | null;
  readonly until: Date | null;
  /** Requests over a day earlier than one before them: their windows may have been forgotten. */
  readonly jumpedBack: number;
  readonly limits: readonly {
    readonly name: string;
    readonly denied: number;
    readonly firstDeniedAt: Date | null;
  }[];
  readonly labels: readonly LabelRow[];
  readonly windows: readonly WindowRow[];
}

/**
 * Runs every request through the purse, in the file's order, each on its own time: held at its
 * real cost and settled at once. A request whose time is earlier than the one before it moves the
 * clock back, so that it falls into the windows of its own time.
 */
export async function replay(setup: ReplaySetup): Promise<ReplayResult> {
  const windows = await WindowCollector.open(setup.purse, setup.clock);
  const count = new Counter(await setup.purse.limits());
  let rows = 0;
  for await (const row of setup.rows) {
    rows += 1;
    setup.onRow?.(rows);
    if (!row.ok) {
      count.bad(row.bad);
      continue;
    }
    const { request } = row;
    const model = request.model === '' ? (setup.model ?? '') : request.model;
    const price =
      model === ''
        ? 'it is empty, and no --model stands in for it'
        : setup.priceOf(model, request.promptTokens, request.completionTokens);
    if (typeof price === 'string') {
      const column = setup.modelColumn;
      count.bad({ line: request.line, column, value: model.slice(0, 80), reason: price });
      continue;
    }
    await windows.moveTo(request.timeMs);
    const spend = spendOf(request, price);
    const denials = await spendOnce(setup.purse, spend, model);
    count.request(request, model, spend, denials);
    for (const denial of denials) windows.deny(denial);
  }
  return count.result(await windows.finish());
}

function spendOf(request: TraceRequest, price: bigint): Readonly<Tally> {
  const tokens = BigInt(request.promptTokens) + BigInt(request.completionTokens);
  return { usdSteps: price, tokens, calls: 1n };
}

/** Holds and settles one request; the refusals when it is denied. */
async function spendOnce(
  purse: Purse,
  spend: Readonly<Tally>,
  model: string,
): Promise<readonly Denial[]> {
  const { usdSteps, tokens } = spend;
  const amounts = { usd: usdText(usdSteps), tokens: Number(tokens), calls: 1 };
  const reserved = await purse.tryReserve(amounts, { model });
  if (!reserved.ok) return reserved.denials;
  await reserved.hold.settle();
  return [];
}

interface Share {
  admitted: number;
  denied: number;
  readonly spent: Tally;
  readonly unlimited: Tally;
}

/** Counts what became of each row. */
class Counter {
  readonly #limits: Map<string, { denied: number; firstDeniedAtMs: number | null }>;
  readonly #models = new Map<string, Share>();
  readonly #badRowDetails: BadRow[] = [];
  #badRows = 0;
  #jumpedBack = 0;
  #sinceMs = Number.POSITIVE_INFINITY;
  #untilMs = Number.NEGATIVE_INFINITY;

  constructor(limits: readonly { readonly name: string }[]) {
    this.#limits = new Map(limits.map(({ name }) => [name, { denied: 0, firstDeniedAtMs: null }]));
  }

  bad(row: BadRow): void {
    this.#badRows += 1;
    if (this.#badRowDetails.length < MAX_BAD_ROW_DETAILS) this.#badRowDetails.push(row);
  }

  request(
    request: TraceRequest,
    model: string,
    spend: Readonly<Tally>,
    denials: readonly Denial[],
  ): void {
    if (request.timeMs < this.#untilMs - DAY_MS) this.#jumpedBack += 1;
    this.#sinceMs = Math.min(this.#sinceMs, request.timeMs);
    this.#untilMs = Math.max(this.#untilMs, request.timeMs);
    const share = this.#shareOf(model);
    addTo(share.unlimited, spend);
    if (denials.length === 0) {
      share.admitted += 1;
      addTo(share.spent, spend);
      return;
    }
    share.denied += 1;
    // A limit that is short in two units refused the request once.
    for (const name of new Set(denials.map(({ limit }) => limit))) {
      const limit = name === null ? undefined : this.#limits.get(name);
      if (limit === undefined) continue;
      limit.denied += 1;
      limit.firstDeniedAtMs ??= request.timeMs;
    }
  }

  #shareOf(model: string): Share {
    const known = this.#models.has(model) || this.#models.size < MAX_LABEL_ROWS;
    const name = known ? model : OTHER_MODELS;
    const share = this.#models.get(name) ?? emptyShare();
    this.#models.set(name, share);
    return share;
  }

  result(windows: readonly WindowRow[]): ReplayResult {
    const total = emptyShare();
    for (const share of this.#models.values()) {
      total.admitted += share.admitted;
      total.denied += share.denied;
      addTo(total.spent, share.spent);
      addTo(total.unlimited, share.unlimited);
    }
    const any = this.#models.size > 0;
    return {
      ...countsOf(total),
      badRows: this.#badRows,
      badRowDetails: this.#badRowDetails,
      ...sumsOf(total),
      since: any ? new Date(this.#sinceMs) : null,
      until: any ? new Date(this.#untilMs) : null,
      jumpedBack: this.#jumpedBack,
      limits: [...this.#limits].map(([name, { denied, firstDeniedAtMs }]) => ({
        name,
        denied,
        firstDeniedAt: firstDeniedAtMs === null ? null : new Date(firstDeniedAtMs),
      })),
      labels: [...this.#models].map(([model, share]) => ({
        labels: { model },
        ...countsOf(share),
        ...sumsOf(share),
      })),
      windows,
    };
  }
}

function emptyShare(): Share {
  return { admitted: 0, denied: 0, spent: emptyTally(), unlimited: emptyTally() };
}

function countsOf({ admitted, denied }: Share): Pick<LabelRow, 'requests' | 'admitted' | 'denied'> {
  return { requests: admitted + denied, admitted, denied };
}

function sumsOf({ spent, unlimited }: Share): Pick<LabelRow, 'spent' | 'unlimited'> {
  return { spent: amountsOf(spent), unlimited: amountsOf(unlimited) };
}
