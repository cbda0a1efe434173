import { StoreError } from '../errors.ts';
import { openEmbedded, type OpenedEmbedded } from '../open-embedded.ts';
import { UNITS } from './amounts.ts';
import { EnvelopeLedger } from './envelope-ledger.ts';
import { ledgerName, StoredNames } from './namespace.ts';
import { restore } from './restore.ts';
import { type BudgetStorage, isInMemory } from './storage.ts';
import { StorageMirror } from './storage-mirror.ts';
import { ownPart, readEverything } from './stored.ts';
import type { BudgetEnforcerConfig } from './types.ts';

/** The settings of an enforcer, checked, with their defaults. */
export interface EnforcerSettings extends Required<
  Pick<BudgetEnforcerConfig, 'commitTtlMs' | 'maxTransactions' | 'namespace' | 'timeZone'>
> {
  readonly store: string;
  readonly clock: BudgetEnforcerConfig['clock'];
}

/** What an enforcer stands on: a ledger, and what is known of where it is kept. */
export interface Backing {
  readonly ledger: EnvelopeLedger;
  /** Why nothing is permitted now; `null` when something is. */
  readonly problem: StoreError | null;
  readonly isLoaded: boolean;
  /** Does something once the ledger is loaded: at once, when it is. */
  whenLoaded(work: () => void): void;
  /** Waits until it is loaded; after a failure it is tried again. @throws StoreError */
  ready(): Promise<void>;
  /** Waits until everything is kept. @throws StoreError when something could not be. */
  flush(): Promise<void>;
  /** Writes again what could not be written. @throws StoreError */
  recover(): Promise<void>;
  close(): void;
}

/** A ledger in memory or in a file, which is all there is to it. */
export function ledgerBacking(settings: EnforcerSettings): Backing {
  const opened = open(settings, settings.store);
  const isShared = settings.store !== 'memory:';
  return {
    ledger: new EnvelopeLedger(opened.spending, isShared, settings.timeZone),
    problem: null,
    isLoaded: true,
    whenLoaded: (work) => work(),
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
    recover: () => Promise.resolve(),
    close: () => opened.close(),
  };
}

/** The ledgers of storages, so that enforcers of one storage and namespace share one. */
const byStorage = new WeakMap<BudgetStorage, Map<string, WeakRef<StorageBacking>>>();

/** A ledger in memory that is read from a storage and written behind to it. */
export function storageBacking(storage: BudgetStorage, settings: EnforcerSettings): Backing {
  const ofStorage = byStorage.get(storage) ?? new Map<string, WeakRef<StorageBacking>>();
  byStorage.set(storage, ofStorage);
  const standing = ofStorage.get(settings.namespace)?.deref();
  if (standing !== undefined) return standing;
  for (const [namespace, backing] of ofStorage) {
    if (backing.deref() === undefined) ofStorage.delete(namespace);
  }
  const made = new StorageBacking(storage, settings);
  ofStorage.set(settings.namespace, new WeakRef(made));
  return made;
}

class StorageBacking implements Backing {
  readonly ledger: EnvelopeLedger;
  readonly #storage: BudgetStorage;
  readonly #settings: EnforcerSettings;
  readonly #names: StoredNames;
  readonly #mirror: StorageMirror;
  #later: (() => void)[] = [];
  #loading: Promise<void> | null = null;
  #loadFailure: StoreError | null = null;
  isLoaded = false;

  constructor(storage: BudgetStorage, settings: EnforcerSettings) {
    const opened = open(settings, 'memory:');
    this.ledger = new EnvelopeLedger(opened.spending, false, settings.timeZone);
    this.#storage = storage;
    this.#settings = settings;
    this.#names = new StoredNames(settings.namespace);
    this.#mirror = new StorageMirror(storage, this.ledger, this.#names);
    opened.announcer.observe('expired', ({ id, labels }) => this.#mirror.expired(id, labels));
    if (isInMemory(storage)) this.#restore(ownPart(storage.everything(), this.#names));
    else this.#startLoading();
  }

  get problem(): StoreError | null {
    if (this.#loadFailure !== null) return this.#loadFailure;
    return this.isLoaded ? this.#mirror.problem : stillLoading();
  }

  whenLoaded(work: () => void): void {
    if (this.isLoaded) work();
    else this.#later.push(work);
  }

  async ready(): Promise<void> {
    if (!this.isLoaded && this.#loading === null) this.#startLoading();
    await this.#loading;
    if (this.#loadFailure !== null) throw this.#loadFailure;
  }

  async flush(): Promise<void> {
    await this.ready();
    await this.#mirror.flush();
  }

  async recover(): Promise<void> {
    await this.ready();
    await this.#mirror.retry();
  }

  /** Others may stand on it too, and it holds nothing that would have to be closed. */
  close(): void {}

  #startLoading(): void {
    this.#loadFailure = null;
    this.#loading = this.#load();
  }

  async #load(): Promise<void> {
    try {
      this.#restore(ownPart(await readEverything(this.#storage), this.#names));
    } catch (cause) {
      this.#loadFailure = StoreError.isInstance(cause) ? cause : loadFailed(cause);
    }
    this.#loading = null;
  }

  #restore(budget: Parameters<typeof restore>[1]): void {
    restore(this.ledger, budget, this.#settings);
    this.isLoaded = true;
    this.ledger.watchedBy(this.#mirror);
    for (const work of this.#later.splice(0)) work();
  }
}

function open(settings: EnforcerSettings, store: string): OpenedEmbedded {
  const { clock, maxTransactions, namespace, timeZone } = settings;
  return openEmbedded({
    store,
    timeZone,
    units: UNITS,
    ledger: ledgerName(namespace),
    retention: store === 'memory:' ? { maxCharges: maxTransactions } : {},
    ...(clock !== undefined && { clock }),
  });
}

function stillLoading(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'unreachable',
    'The storage is still being loaded; await ready() first, or use BudgetEnforcer.open()',
    { retryable: true },
  );
}

function loadFailed(cause: unknown): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'unreachable',
    'The storage could not be loaded, so nothing is permitted; mend it and await ready() again',
    { cause, retryable: true },
  );
}
