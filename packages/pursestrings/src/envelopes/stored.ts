import { StoreError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';
import type { StoredNames } from './namespace.ts';
import type { BudgetStorage, StoredBudget } from './storage.ts';
import type { PendingCommit, Period, SpendingEnvelope, Transaction } from './types.ts';

/** An envelope as it is written: with its creation, which the months of a period are counted from. */
export interface StoredEnvelope extends SpendingEnvelope {
  readonly createdAt?: Date;
}

const PERIODS: ReadonlySet<unknown> = new Set(['hourly', 'daily', 'weekly', 'monthly', 'total']);

/** Reads all of a storage. @throws what it throws */
export async function readEverything(storage: BudgetStorage): Promise<StoredBudget> {
  const envelopes = await storage.listEnvelopes();
  const transactions = await storage.listTransactions();
  const commits = await storage.listCommits();
  const current: SpendingEnvelope[] = [];
  for (const [category, listed] of Map.groupBy(envelopes, (each) => each.category)) {
    const [only] = listed;
    // Replaced ones may stay listed: the storage knows which counts.
    const counts = listed.length === 1 ? only : await storage.getEnvelopeByCategory(category);
    current.push(counts ?? newestOf(listed));
  }
  return { envelopes: current, transactions, commits };
}

/** Takes out what belongs to one namespace, under its own names, with dates and numbers checked. */
export function ownPart(budget: StoredBudget, names: StoredNames): StoredBudget {
  return {
    envelopes: owned(budget.envelopes, names, readEnvelope),
    transactions: owned(budget.transactions, names, readTransaction),
    commits: owned(budget.commits, names, readCommit),
  };
}

function owned<T extends { readonly category: string }>(
  records: readonly T[],
  names: StoredNames,
  read: (record: T, names: StoredNames) => T,
): T[] {
  return records
    .filter(({ category }) => typeof category !== 'string' || names.read(category) !== null)
    .map((record) => read(record, names));
}

function readEnvelope(stored: StoredEnvelope, names: StoredNames): StoredEnvelope {
  const what = `envelope ${shown(stored.id)}`;
  const { period, createdAt, suspended } = stored;
  if (!PERIODS.has(period)) throw corrupt(what, 'period', period);
  return {
    id: nameOf(what, 'id', stored.id, names),
    category: nameOf(what, 'category', stored.category, names),
    limit: numberOf(what, 'limit', stored.limit),
    period: period satisfies Period,
    spent: numberOf(what, 'spent', stored.spent),
    committed: numberOf(what, 'committed', stored.committed),
    periodStart: dateOf(what, 'periodStart', stored.periodStart),
    suspended: isTrue(suspended),
    ...(isThere(createdAt) && { createdAt: dateOf(what, 'createdAt', createdAt) }),
  };
}

function readTransaction(stored: Transaction, names: StoredNames): Transaction {
  const what = `transaction ${shown(stored.id)}`;
  const { description, envelopeId } = stored;
  return {
    id: textOf(what, 'id', stored.id),
    category: nameOf(what, 'category', stored.category, names),
    amount: numberOf(what, 'amount', stored.amount),
    timestamp: dateOf(what, 'timestamp', stored.timestamp),
    ...(isThere(description) && { description: textOf(what, 'description', description) }),
    ...(isThere(envelopeId) && { envelopeId: nameOf(what, 'envelopeId', envelopeId, names) }),
  };
}

function readCommit(stored: PendingCommit, names: StoredNames): PendingCommit {
  const what = `commit ${shown(stored.id)}`;
  const { envelopeId, expiresAt } = stored;
  return {
    id: textOf(what, 'id', stored.id),
    category: nameOf(what, 'category', stored.category, names),
    amount: numberOf(what, 'amount', stored.amount),
    createdAt: dateOf(what, 'createdAt', stored.createdAt),
    ...(isThere(envelopeId) && { envelopeId: nameOf(what, 'envelopeId', envelopeId, names) }),
    ...(isThere(expiresAt) && { expiresAt: dateOf(what, 'expiresAt', expiresAt) }),
  };
}

/** True, or what a database without truth values made of it. */
function isTrue(value: unknown): boolean {
  return value === true || value === 1;
}

/** False for what a database writes where nothing was given. */
function isThere<T>(value: T | null | undefined): value is T {
  return value !== undefined && value !== null;
}

function newestOf(listed: readonly SpendingEnvelope[]): SpendingEnvelope {
  const startMs = (envelope: SpendingEnvelope): number => new Date(envelope.periodStart).getTime();
  return listed.reduce((newest, each) => (startMs(each) > startMs(newest) ? each : newest));
}

function textOf(what: string, field: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw corrupt(what, field, value);
}

function nameOf(what: string, field: string, value: unknown, names: StoredNames): string {
  const text = textOf(what, field, value);
  return names.read(text) ?? text;
}

/** A number that is not negative; a database may write it as text. */
function numberOf(what: string, field: string, value: unknown): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && number >= 0 && number < Number.POSITIVE_INFINITY) return number;
  throw corrupt(what, field, value);
}

/** A date, or what JSON or a database made of it. */
function dateOf(what: string, field: string, value: unknown): Date {
  const isDate = value instanceof Date || typeof value === 'string' || typeof value === 'number';
  const date = new Date(isDate ? value : Number.NaN);
  if (!Number.isNaN(date.getTime())) return date;
  throw corrupt(what, field, value);
}

function corrupt(what: string, field: string, value: unknown): StoreError {
  return new StoreError(
    'STORE_CORRUPT',
    'corrupt',
    `The storage's ${what} has ${field} ${shown(value)}, which cannot be; set it right in the storage`,
  );
}
