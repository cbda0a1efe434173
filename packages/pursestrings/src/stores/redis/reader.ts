import { carries, labelSetFromKey } from '../../ledger/labels.ts';
import type { ChargeRecord, HoldRecord } from '../../ledger/records.ts';
import type { Total } from '../../ledger/report.ts';
import { daysWithin, newTotal, type RunningTotal } from '../running-total.ts';
import {
  type BalancePage,
  type BalanceQuery,
  type HoldQuery,
  type JournalQuery,
  MAX_PAGE_SIZE,
  type Page,
  type TotalsQuery,
} from '../store.ts';
import {
  BALANCES_SCRIPT,
  GROUNDS_SCRIPT,
  IDS_SCRIPT,
  JOURNAL_SCRIPT,
  OPEN_IDS_SCRIPT,
  SLOTS_SCRIPT,
  TOTALS_SCRIPT,
} from './scripts/read.ts';
import type { RedisServer } from './server.ts';
import {
  addTotal,
  groundsOf,
  isHold,
  readEnvelope,
  readHold,
  readRow,
  type RowText,
} from './texts.ts';
import { StoreError } from '../../errors.ts';

/** How many journal rows one page looks through at most, so that a rare label stops nobody. */
const MAX_SCANNED_PER_PAGE = 20_000;

/** How many rows, and how many slots of totals, come in one answer of the server. */
const ROWS_AT_ONCE = 1000;
const SLOTS_AT_ONCE = 32;

const MAX_GROUNDS_AT_HAND = 10_000;

/** Reads one ledger: every question is a script, so that it goes to the server that has the ledger. */
export class RedisReader {
  readonly #server: RedisServer;
  readonly #keys: readonly string[];
  readonly #signal: AbortSignal | undefined;
  /** Grounds by their names, which tell their content. */
  readonly #grounds: Map<string, string>;

  constructor(
    server: RedisServer,
    keys: readonly string[],
    signal?: AbortSignal,
    grounds: Map<string, string> = new Map(),
  ) {
    this.#server = server;
    this.#keys = keys;
    this.#signal = signal;
    this.#grounds = grounds;
  }

  /** The same reader, which gives up a connection that it hangs on when a signal aborts. */
  until(signal: AbortSignal | undefined): RedisReader {
    if (signal === undefined) return this;
    return new RedisReader(this.#server, this.#keys, signal, this.#grounds);
  }

  async balances(query: BalanceQuery, now: string): Promise<BalancePage> {
    const size = pageSize(query);
    const page = await (query.keys === undefined
      ? this.#balances(now, ['range', ...rangeOf(query), String(size)])
      : this.#balancesByKey(now, query.keys));
    const items = page.items.filter(({ key }) => isOfGroup(key, query.group));
    const ended = query.keys !== undefined || page.names.length < size;
    const next = ended ? null : (page.names.at(-1) ?? null);
    return { items, next, revision: page.revision, nowMs: page.nowMs };
  }

  async holds(query: HoldQuery): Promise<Page<HoldRecord>> {
    if (query.id !== undefined) return { items: await this.#holds([query.id]), next: null };
    const size = pageSize(query);
    const rest = await this.#openIds(query.after);
    const ids = rest.slice(0, size);
    const holds = await this.#holds(ids);
    const next = ids.length < rest.length ? (ids.at(-1) ?? null) : null;
    return { items: holds.filter(({ state }) => state === 'open'), next };
  }

  async journal(query: JournalQuery): Promise<Page<ChargeRecord>> {
    const { sinceMs = -8.64e15, untilMs = 8.64e15, labels = {} } = query;
    const size = pageSize(query);
    const items: ChargeRecord[] = [];
    let after = query.after ?? '';
    for (let scanned = 0; scanned < MAX_SCANNED_PER_PAGE;) {
      const bounds = [sinceMs, untilMs, Math.min(ROWS_AT_ONCE, size - items.length)].map(String);
      const direction = query.order === 'oldest' ? '1' : '-1';
      const found = await this.#ask<string[]>(JOURNAL_SCRIPT, [direction, after, ...bounds]);
      for (let index = 1; index < found.length; index += 2) {
        scanned += 1;
        const charge = readRow(JSON.parse(found[index + 1] as string) as RowText);
        if (charge.atMs < sinceMs || charge.atMs >= untilMs) continue;
        if (carries(charge.labels.labels, labels)) items.push(charge);
        if (items.length === size) return { items, next: String(found[index]) };
      }
      after = String(found[0]);
      if (after === '') return { items, next: null };
      if (found.length === 1) return { items, next: after };
    }
    return { items, next: after };
  }

  async totals({ sinceMs, untilMs }: TotalsQuery): Promise<readonly Total[]> {
    const days = daysWithin(sinceMs, untilMs);
    const slots = (await this.slots(sinceMs, untilMs)).filter((slot) => {
      const startMs = Number(slot.slice(1));
      const inDays = startMs >= days.sinceMs && startMs < days.untilMs;
      return slot.startsWith('d') ? inDays : !inDays;
    });
    const sums = new Map<string, RunningTotal>();
    for (let from = 0; from < slots.length; from += SLOTS_AT_ONCE) {
      const args = slots.slice(from, from + SLOTS_AT_ONCE);
      for (const texts of await this.#ask<string[][]>(TOTALS_SCRIPT, args)) addTexts(sums, texts);
    }
    return [...sums.values()];
  }

  /** The slots of running totals that begin in a span of time: `q` or `d`, and when they begin. */
  slots(sinceMs: number, untilMs: number): Promise<string[]> {
    return this.#ask<string[]>(SLOTS_SCRIPT, [String(sinceMs), String(untilMs)]);
  }

  async #balancesByKey(now: string, keys: readonly string[]): Promise<BalanceTexts> {
    const pages: BalanceTexts[] = [];
    for (let from = 0; from === 0 || from < keys.length; from += MAX_PAGE_SIZE) {
      pages.push(await this.#balances(now, ['keys', ...keys.slice(from, from + MAX_PAGE_SIZE)]));
    }
    const last = pages.at(-1) as BalanceTexts;
    return { ...last, names: [], items: pages.flatMap(({ items }) => items) };
  }

  async #balances(now: string, args: readonly string[]): Promise<BalanceTexts> {
    const [revision, nowMs, names, texts] = await this.#ask<
      [string, string, string[], (string | null)[]]
    >(BALANCES_SCRIPT, [now, ...args]);
    const items = names.flatMap((name, index) => {
      const text = texts[index] ?? null;
      return text === null ? [] : [readEnvelope(name, text)];
    });
    return { revision: Number(revision), nowMs: Number(nowMs), names, items };
  }

  async #holds(ids: readonly string[]): Promise<HoldRecord[]> {
    const texts = ids.length === 0 ? [] : await this.#ask<(string | null)[]>(IDS_SCRIPT, ids);
    const standing = ids.flatMap((id, index) => {
      const text = texts[index] ?? '';
      return isHold(text) ? [{ id, text }] : [];
    });
    return this.readHolds(standing);
  }

  /** Reads holds from their texts, with the grounds that their lines name. */
  async readHolds(
    holds: readonly { readonly id: string; readonly text: string }[],
  ): Promise<HoldRecord[]> {
    if (this.#grounds.size > MAX_GROUNDS_AT_HAND) this.#grounds.clear();
    const missing = new Map<string, Set<string>>();
    for (const { text } of holds) {
      const { bucket, names } = groundsOf(text);
      for (const name of names) {
        if (this.#grounds.has(name)) continue;
        missing.set(bucket, (missing.get(bucket) ?? new Set()).add(name));
      }
    }
    for (const [bucket, names] of missing) await this.#learnGrounds(bucket, [...names]);
    return holds.map(({ id, text }) => {
      const grounds = groundsOf(text).names.map((name) => this.#grounds.get(name) ?? '');
      return readHold([id, text, grounds]);
    });
  }

  async #learnGrounds(bucket: string, names: readonly string[]): Promise<void> {
    const texts = await this.#ask<(string | null)[]>(GROUNDS_SCRIPT, [bucket, ...names]);
    for (const [index, name] of names.entries()) {
      const text = texts[index] ?? null;
      if (text === null) throw missingGround(name);
      this.#grounds.set(name, text);
    }
  }

  /** The ids of open holds after one, in order. */
  async #openIds(after: string | undefined): Promise<string[]> {
    const ids = new Set<string>();
    let cursor = '0';
    do {
      const [next, page] = await this.#ask<[string, string[]]>(OPEN_IDS_SCRIPT, [cursor]);
      for (const id of page) if (after === undefined || id > after) ids.add(id);
      cursor = next;
    } while (cursor !== '0');
    return [...ids].sort();
  }

  async #ask<T>(script: string, args: readonly string[]): Promise<T> {
    return (await this.#server.read(script, this.#keys, args, this.#signal)) as T;
  }
}

interface BalanceTexts extends Omit<BalancePage, 'next'> {
  readonly names: readonly string[];
}

export function pageSize(query: { readonly size?: number }): number {
  return Math.min(query.size ?? MAX_PAGE_SIZE, MAX_PAGE_SIZE);
}

/** Where a page of envelopes begins and ends, as ZRANGEBYLEX has it. */
function rangeOf({ group, after }: BalanceQuery): readonly [from: string, to: string] {
  const from = after === undefined ? `[${group ?? ''}` : `(${after}`;
  return [from, group === undefined ? '+' : `(${group}}`];
}

/** A group's own key, and those that add values to it. */
function isOfGroup(key: string, group: string | undefined): boolean {
  return group === undefined || key === group || key.startsWith(`${group}|`);
}

function addTexts(sums: Map<string, RunningTotal>, texts: readonly string[]): void {
  for (let index = 0; index < texts.length; index += 2) {
    const key = texts[index] as string;
    let sum = sums.get(key);
    if (sum === undefined) {
      sum = newTotal(labelSetFromKey(key).labels);
      sums.set(key, sum);
    }
    addTotal(sum, texts[index + 1] as string);
  }
}

function missingGround(name: string): StoreError {
  return new StoreError(
    'STORE_CORRUPT',
    'corrupt',
    `A hold in Redis names the terms ${name}, which are not there; restore it from a backup`,
  );
}
