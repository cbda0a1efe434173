import { statSync } from 'node:fs';
import { type Limit, openPurse, type Purse } from 'pursestrings';
import { memory } from 'pursestrings/stores/memory';
import { type Config, readConfig } from './config.ts';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';
import type { LedgerOptions } from './ledger-access.ts';
import { namingFile, readLimitsFile } from './limits-file.ts';
import { pricesFrom, readPricesFile } from './pricing.ts';
import { fileProgress } from './progress.ts';
import type { TraceClock } from './replay-windows.ts';
import { type PriceOf, replay, type ReplayResult } from './replay.ts';
import { checkUrl } from './store-path.ts';
import type { Terminal } from './terminal.ts';
import { readColumnNames } from './trace-columns.ts';
import { openTrace, type Trace } from './trace.ts';

/** The options of `purse replay`. */
export interface ReplayOptions extends LedgerOptions {
  readonly limits?: string;
  readonly model?: string;
  readonly prices?: string;
  readonly columns?: readonly string[];
}

/** Replays a trace as the options say. */
export async function runReplay(
  path: string,
  options: ReplayOptions,
  terminal: Terminal,
): Promise<ReplayResult> {
  const config = options.config === undefined ? null : readConfig(options.config);
  const limits =
    options.limits === undefined
      ? config?.limits
      : { path: options.limits, list: readLimitsFile(options.limits) };
  const pricesPath = options.prices ?? config?.prices;
  const priceOf = pricesFrom(pricesPath === undefined ? undefined : readPricesFile(pricesPath));
  const names = readColumnNames(options.columns ?? []);
  const progress = fileProgress(terminal, 'Replaying', sizeOf(path));
  const count = { bytes: 0 };
  const trace = await openTrace(path, names, (bytes) => {
    count.bytes = bytes;
  });
  checkModel(trace, options.model, priceOf, path);
  const clock: TraceClock = { timeMs: 0, now: () => clock.timeMs };
  const purse = await namingFile(limits?.path ?? null, () =>
    openReplayPurse(options, config, limits?.list ?? [], clock),
  );
  try {
    await noteOldCharges(purse, terminal);
    return await replay({
      purse,
      clock,
      rows: trace.rows,
      priceOf,
      model: options.model,
      modelColumn: trace.columns.model?.name ?? null,
      onRow: (rows) => progress.update(count.bytes, rows),
    });
  } finally {
    progress.clear();
    await purse.close();
  }
}

async function openReplayPurse(
  options: ReplayOptions,
  config: Config | null,
  limits: readonly Limit[],
  clock: TraceClock,
): Promise<Purse> {
  if (options.store !== undefined) checkUrl(options.store);
  // Nobody reads the journal of a ledger that ends with the replay, so its tail is enough.
  const store = options.store ?? memory({ clock, maxCharges: 1000 });
  const ledger = options.ledger ?? config?.ledger;
  return await openPurse({
    store,
    clock,
    limits,
    uncovered: 'allow',
    ...(ledger !== undefined && { ledger }),
    ...(config?.timeZone !== undefined && { timeZone: config.timeZone }),
    ...(config?.units !== undefined && { units: config.units }),
  });
}

/** Without a model column every row has the model of `--model`, so that must have a price. */
function checkModel(trace: Trace, model: string | undefined, priceOf: PriceOf, path: string): void {
  if (trace.columns.model !== null) return;
  if (model === undefined) {
    throw new InputError(
      `${path} has no model column; say which model its requests went to, such as --model gpt-4o.`,
    );
  }
  const price = priceOf(model, 1, 1);
  if (typeof price === 'string') {
    throw new InputError(`--model is ${JSON.stringify(model)}: ${price}.`, { code: 'NO_PRICE' });
  }
}

async function noteOldCharges(purse: Purse, terminal: Terminal): Promise<void> {
  for await (const charge of purse.journal({ order: 'newest' })) {
    terminal.note(
      `The ledger already has charges, the last of ${charge.at.toISOString()}; the replay adds ` +
        'to them, and they count against the limits.',
    );
    return;
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    throw new InputError(`Cannot read the trace ${path}: ${whyUnreadable(cause)}.`, { cause });
  }
}
