import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import { type Charge, openPurse, type Purse, type PurseOptions } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { sqlite, type SqliteOptions } from '../../src/stores/sqlite.ts';
import type { EmbeddedStore, Retention } from '../../src/stores/store.ts';
import type { Clock } from '../../src/clock.ts';

/** The embedded stores: what is said of one of them holds for both. */
export const KINDS = ['memory', 'sqlite'] as const;
export type Kind = (typeof KINDS)[number];

/** A directory that goes with the test. */
export async function tempDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'purse-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The path of a ledger's file that is not there yet. */
export async function tempFile(): Promise<string> {
  return join(await tempDirectory(), 'purse.db');
}

/** An SQLite store that is closed with the test. */
export function openFile(path: string, options: SqliteOptions = {}): EmbeddedStore {
  const store = sqlite(path, { durability: 'normal', ...options });
  onTestFinished(() => store.close());
  return store;
}

export interface StoreOptions extends Retention {
  readonly clock?: Clock;
}

/** A store of a kind, empty. */
export async function makeStore(kind: Kind, options: StoreOptions = {}): Promise<EmbeddedStore> {
  if (kind === 'memory') return memory(options);
  const { maxCharges: _, ...others } = options;
  return openFile(await tempFile(), others);
}

/** A purse that is closed with the test. */
export async function makePurse(options: PurseOptions): Promise<Purse> {
  const purse = await openPurse(options);
  onTestFinished(() => purse.close());
  return purse;
}

/** Every charge in the journal, the oldest first. */
export async function charges(purse: Purse): Promise<Charge[]> {
  return Array.fromAsync(purse.journal({ order: 'oldest' }));
}

/** A limit's only balance. */
export async function balanceOf(
  purse: Purse,
  limit: string,
): Promise<{ readonly spent: number; readonly held: number; readonly available: number }> {
  const [balance] = await Array.fromAsync(purse.balances({ limit }));
  if (balance === undefined) throw new Error(`limit ${limit} has no balance`);
  const { spent, held, available } = balance;
  return { spent, held, available };
}

/** All balances as one text, to see that nothing moved. */
export async function balancesText(purse: Purse): Promise<string> {
  return JSON.stringify(await Array.fromAsync(purse.balances()));
}

/** Steps of 1e-8 USD. */
export function steps(usd: number | undefined): number {
  return Math.round((usd ?? 0) * 1e8);
}

/** Random numbers from 0 to 1, the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
