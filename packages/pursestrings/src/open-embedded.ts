import { resolve } from 'node:path';
import { EmbeddedSpending } from './embedded-spending.ts';
import { InvalidOptionError } from './errors.ts';
import { Announcer } from './events.ts';
import { shown } from './ledger/invalid.ts';
import { withLimits, withUnits } from './ledger/policy.ts';
import { News } from './news.ts';
import { PolicyDesk } from './policy-desk.ts';
import { Purse } from './purse.ts';
import { checkedSettings, type PurseOptions } from './purse-options.ts';
import { SpendOperations } from './spend-operations.ts';
import { type EmbeddedUrl, readStoreUrl } from './store-url.ts';
import { memory } from './stores/memory.ts';
import { sqlite } from './stores/sqlite.ts';
import type { EmbeddedStore, Retention } from './stores/store.ts';

/** How a ledger inside the process is opened without waiting. */
export interface EmbeddedOptions extends Pick<
  PurseOptions,
  'clock' | 'holdTtlMs' | 'ledger' | 'limits' | 'timeZone' | 'uncovered' | 'units'
> {
  /** `'memory:'` or `'sqlite:…'`. Default `'memory:'`. */
  readonly store?: string;
  readonly retention?: Retention;
}

/** A ledger that was opened here, and how to let go of it. */
export interface OpenedEmbedded {
  readonly spending: EmbeddedSpending;
  readonly announcer: Announcer;
  /** Lets go of the store; the last one to do so closes it. */
  close(): void;
}

/**
 * Opens a ledger in memory or in a file without waiting, for the interfaces that are synchronous.
 * Those that name one file share one connection to it.
 *
 * @throws InvalidOptionError, InvalidLimitError, InvalidUnitError, StoreError: nothing was opened.
 */
export function openEmbedded(options: EmbeddedOptions = {}): OpenedEmbedded {
  const { store: url = 'memory:', retention = {}, clock, ...rest } = options;
  const settings = checkedSettings(rest);
  const lease = lend(url, { ...retention, ...(clock !== undefined && { clock }) });
  try {
    const { ledger } = options;
    const store = ledger === undefined ? lease.store : lease.store.forLedger(ledger);
    const desk = PolicyDesk.openSync(store);
    desk.changeSync((policy) =>
      withLimits(withUnits(policy, options.units ?? {}), options.limits ?? [], settings.timeZone),
    );
    const announcer = new Announcer();
    const news = new News(announcer, desk);
    const operations = new SpendOperations(desk, settings, () => store.now());
    const spending = new EmbeddedSpending({
      store,
      desk,
      operations,
      news,
      applied: ({ expiries }) => expiries.forEach((expiry) => news.expired(expiry)),
      policyChanged: () => undefined,
    });
    const close = (): void => {
      spending.close();
      lease.release();
    };
    return { spending, announcer, close };
  } catch (error) {
    lease.release();
    throw error;
  }
}

/**
 * Opens a purse in memory without waiting. It closes its store with itself.
 *
 * @throws InvalidOptionError, InvalidLimitError, InvalidUnitError: nothing was opened.
 */
export function openMemoryPurse(
  options: Pick<EmbeddedOptions, 'clock' | 'limits' | 'retention' | 'units'>,
): Purse {
  const { clock, limits = [], retention, units = {} } = options;
  const settings = checkedSettings({ limits });
  const store = memory({ ...retention, ...(clock !== undefined && { clock }) });
  const desk = PolicyDesk.openSync(store);
  desk.changeSync((policy) => withLimits(withUnits(policy, units), limits, settings.timeZone));
  return new Purse(store, desk, settings, store);
}

/** A store that several may use. */
interface Lease {
  readonly store: EmbeddedStore;
  release(): void;
}

type StoreOptions = Retention & Pick<PurseOptions, 'clock'>;

/** The files that are open here, by path and how they were opened. */
const files = new Map<string, { readonly store: EmbeddedStore; users: number }>();

/** Numbers the clocks that files were opened with: a file with another clock is another store. */
const clocks = new WeakMap<object, number>();
let lastClock = 0;

function lend(url: string, options: StoreOptions): Lease {
  const { scheme, path } = embeddedUrl(url);
  if (scheme === 'memory') return { store: memory(options), release: () => undefined };
  const key = JSON.stringify([resolve(path), { ...options, clock: clockNumber(options.clock) }]);
  const file = files.get(key) ?? { store: sqlite(path, options), users: 0 };
  files.set(key, file);
  file.users += 1;
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    file.users -= 1;
    if (file.users > 0) return;
    files.delete(key);
    // It closes by itself: nothing is under way in a store that is only asked synchronously.
    void file.store.close();
  };
  return { store: file.store, release };
}

function clockNumber(clock: object | undefined): number {
  if (clock === undefined) return 0;
  const known = clocks.get(clock);
  if (known !== undefined) return known;
  lastClock += 1;
  clocks.set(clock, lastClock);
  return lastClock;
}

function embeddedUrl(url: string): EmbeddedUrl {
  const read = typeof url === 'string' ? readStoreUrl(url) : null;
  if (read?.scheme === 'memory' || read?.scheme === 'sqlite') return read;
  throw new InvalidOptionError(
    `store is ${read === null ? shown(url) : `a ${read.scheme} URL`}; what is synchronous lives inside the ` +
      `process, so write 'memory:' or 'sqlite:./purse.db'`,
  );
}
