import { existsSync, statSync } from 'node:fs';
import { type Charge, type Limit, openPurse, type Purse, type PurseOptions } from 'pursestrings';
import { memory } from 'pursestrings/stores/memory';
import { type Config, readConfig } from './config.ts';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';
import { ledgerOption, type LedgerOptions, withPurse } from './ledger-access.ts';
import { namingFile, readLimitsFile } from './limits-file.ts';
import { pricesFrom, readPricesFile } from './pricing.ts';
import { fileProgress } from './progress.ts';
import type { TraceClock } from './replay-windows.ts';
import { type PriceOf, replay, type ReplayResult } from './replay.ts';
import { checkUrl, sqlitePath } from './store-path.ts';
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
  try {
    return await namingFile(limits?.path ?? null, () =>
      withReplayPurse(options, config, limits?.list ?? [], clock, async (purse) => {
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
      }),
    );
  } finally {
    progress.clear();
  }
}

async function withReplayPurse<T>(
  options: ReplayOptions,
  config: Config | null,
  limits: readonly Limit[],
  clock: TraceClock,
  work: (purse: Purse) => Promise<T>,
): Promise<T> {
  const settings: PurseOptions = {
    limits,
    uncovered: 'allow',
    ...ledgerOption(options.ledger ?? config?.ledger),
    ...(config?.timeZone !== undefined && { timeZone: config.timeZone }),
    ...(config?.units !== undefined && { units: config.units }),
  };
  const store = options.store ?? config?.store ?? 'memory:';
  checkUrl(store);
  if (store !== 'memory:') {
    if (options.store === undefined) await checkUnused(store, options, config);
    return await withPurse(store, { clock, repeatable: true }, settings, work);
  }
  // Nobody reads the journal of a ledger that ends with the replay, so its tail is enough.
  const purse = await openPurse({ ...settings, store: memory({ clock, maxCharges: 1000 }) });
  try {
    return await work(purse);
  } finally {
    await purse.close();
  }
}

/** A config file often names the ledger that real money is spent from: a trace must not go there. */
async function checkUnused(
  store: string,
  options: ReplayOptions,
  config: Config | null,
): Promise<void> {
  const path = sqlitePath(store);
  if (path !== null && !existsSync(path)) return;
  const ledger = options.ledger ?? config?.ledger;
  const last = await withPurse(store, {}, ledgerOption(ledger), lastChargeOf);
  if (last === null) return;
  throw new InputError(
    `The ledger ${ledger ?? 'default'} of ${store}, which ${config?.path} names, has charges ` +
      'already; replay into another with --store sqlite:./what-if.db, or none with --store memory:.',
    { code: 'LEDGER_IN_USE' },
  );
}

async function lastChargeOf(purse: Purse): Promise<Charge | null> {
  for await (const charge of purse.journal({ order: 'newest' })) return charge;
  return null;
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
  const last = await lastChargeOf(purse);
  if (last === null) return;
  terminal.note(
    `The ledger already has charges, the last of ${last.at.toISOString()}; the replay adds ` +
      'to them, and they count against the limits.',
  );
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (cause) {
    throw new InputError(`Cannot read the trace ${path}: ${whyUnreadable(cause)}.`, { cause });
  }
}
