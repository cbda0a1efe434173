import { randomUUID } from 'node:crypto';
import { StoreError } from '../../errors.ts';
import type { LedgerRecord } from '../../ledger/audit.ts';
import { labelSetFromKey } from '../../ledger/labels.ts';
import type { HoldRecord } from '../../ledger/records.ts';
import { DAY_SLOT_MS, SLOT_MS } from '../../ledger/report.ts';
import type { LedgerScope } from '../store.ts';
import { MAX_PAGE_SIZE } from '../store.ts';
import {
  BEGIN_SNAPSHOT_SCRIPT,
  END_SNAPSHOT_SCRIPT,
  SNAPSHOT_ENVELOPES_SCRIPT,
  SNAPSHOT_IDS_SCRIPT,
  SNAPSHOT_JOURNAL_SCRIPT,
  SNAPSHOT_TOTALS_SCRIPT,
} from './scripts/snapshot.ts';
import type { RedisReader } from './reader.ts';
import type { RedisServer } from './server.ts';
import {
  isHold,
  type NumberedEnvelope,
  readEnvelope,
  readRow,
  readTotal,
  type RowText,
  stateOf,
} from './texts.ts';

/** How many rows a chunk of the journal has: see `scripts/book.ts`. */
const CHUNK = 256;

/** A ledger as it stood when the reading began: see `scripts/snapshot.ts`. */
export class RedisSnapshot {
  readonly #server: RedisServer;
  readonly #keys: readonly string[];
  readonly #reader: RedisReader;
  readonly #signal: AbortSignal | undefined;
  readonly #id: string = randomUUID();
  readonly #envelopes = new Map<number, NumberedEnvelope>();
  readonly #byKey = new Map<string, NumberedEnvelope>();

  constructor(
    server: RedisServer,
    keys: readonly string[],
    reader: RedisReader,
    signal: AbortSignal | undefined,
  ) {
    this.#server = server;
    this.#keys = keys;
    this.#reader = reader.until(signal);
    this.#signal = signal;
  }

  /** Reads everything, and ends the snapshot whatever happens. */
  async *records(scope: LedgerScope): AsyncGenerator<LedgerRecord> {
    const begun = await this.#ask<string[]>(BEGIN_SNAPSHOT_SCRIPT, 'begin');
    const [first, next, lastNumber] = begun.map(Number) as [number, number, number];
    try {
      yield* this.#readEnvelopes(lastNumber);
      yield* this.#readHolds(scope);
      yield* this.#readJournal(first, next);
      if (scope === 'whole') yield* this.#readTotals();
    } finally {
      // Left alone, a snapshot ends by itself in a minute.
      await this.#ask(END_SNAPSHOT_SCRIPT, 'end').catch(() => undefined);
    }
  }

  async *#readEnvelopes(lastNumber: number): AsyncGenerator<LedgerRecord> {
    let from = '-';
    for (;;) {
      const args = [from, String(MAX_PAGE_SIZE)];
      const page = await this.#ask<string[]>(SNAPSHOT_ENVELOPES_SCRIPT, 'envelopes', args);
      for (let index = 0; index < page.length; index += 2) {
        const envelope = readEnvelope(page[index] as string, page[index + 1] as string);
        if (envelope.number > lastNumber) continue;
        this.#envelopes.set(envelope.number, envelope);
        this.#byKey.set(envelope.key, envelope);
        yield { kind: 'envelope', envelope };
      }
      if (page.length < 2 * MAX_PAGE_SIZE) return;
      from = `(${page.at(-2) ?? ''}`;
    }
  }

  /** Holds that stand as they did, then those that were changed since. */
  async *#readHolds(scope: LedgerScope): AsyncGenerator<LedgerRecord> {
    const seen = new Set<string>();
    for (const which of [scope === 'whole' ? 'all' : 'open', 'changed']) {
      let cursor = '0';
      do {
        const [next, page]: [string, string[]] = await this.#ask(SNAPSHOT_IDS_SCRIPT, which, [
          cursor,
        ]);
        const found: { id: string; text: string }[] = [];
        for (let index = 0; index < page.length; index += 2) {
          const [id = '', text = ''] = page.slice(index, index + 2);
          const wanted = isHold(text) && (scope === 'whole' || stateOf(text) === 'open');
          if (!wanted || seen.has(id)) continue;
          seen.add(id);
          found.push({ id, text });
        }
        for (const hold of await this.#reader.readHolds(found)) {
          yield { kind: 'hold', hold: this.#linked(hold) };
        }
        cursor = next;
      } while (cursor !== '0');
    }
  }

  /** The hold with the envelopes of this reading, without those that were forgotten. */
  #linked(hold: HoldRecord): HoldRecord {
    const lines = hold.lines.flatMap(({ terms, envelope: { key } }) => {
      const envelope = this.#byKey.get(key);
      return envelope === undefined ? [] : [{ terms, envelope }];
    });
    return { ...hold, lines };
  }

  async *#readJournal(first: number, next: number): AsyncGenerator<LedgerRecord> {
    for (let from = first; from < next;) {
      const to = Math.min(next, (Math.floor(from / CHUNK) + 1) * CHUNK) - 1;
      const args = [String(from), String(to)];
      const rows = await this.#ask<string[]>(SNAPSHOT_JOURNAL_SCRIPT, 'journal', args);
      for (const row of rows) {
        yield { kind: 'charge', charge: readRow(JSON.parse(row) as RowText, this.#envelopes) };
      }
      from = to + 1;
    }
  }

  async *#readTotals(): AsyncGenerator<LedgerRecord> {
    for (const slot of await this.#reader.slots(-8.64e15, 8.64e15)) {
      const [texts = []] = await this.#ask<string[][]>(SNAPSHOT_TOTALS_SCRIPT, 'totals', [slot]);
      for (let index = 0; index < texts.length; index += 2) {
        const text = texts[index + 1] as string;
        if (text === '') continue;
        yield {
          kind: 'total',
          startMs: Number(slot.slice(1)),
          grainMs: slot.startsWith('d') ? DAY_SLOT_MS : SLOT_MS,
          labels: labelSetFromKey(texts[index] as string),
          ...readTotal(text),
        };
      }
    }
  }

  async #ask<T>(script: string, what: string, args: readonly string[] = []): Promise<T> {
    const named = [this.#id, what, ...args];
    const answer = await this.#server.read(script, this.#keys, named, this.#signal);
    if (answer !== 'lost') return answer as T;
    throw new StoreError(
      'STORE_UNAVAILABLE',
      'contended',
      'The reading of the whole ledger stood still for a minute, and what it had seen is gone; read again',
      { retryable: true },
    );
  }
}
