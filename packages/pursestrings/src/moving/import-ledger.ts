import { type Audit, Auditor, type LedgerRecord } from '../ledger/audit.ts';
import { PurseError } from '../ledger/invalid.ts';
import { compilePolicy, type Policy } from '../ledger/policy.ts';
import { askUntilAnswered, DEFAULT_PATIENCE } from '../patience.ts';
import { PatientStore } from '../patient-store.ts';
import { type LedgerStore, MAX_WRITTEN_AT_ONCE } from '../stores/store.ts';
import { type Counts, type Header, type Sums, Tally, type Trailer } from './ledger-file.ts';
import { LineReader } from './line-reader.ts';

/** What was imported. */
export interface Imported extends Counts {
  /** The ledger that it was imported into. */
  readonly ledger: string;
}

/** The lines of an export, without their line ends. */
export type ExportLines = Iterable<string> | AsyncIterable<string>;

/** How an import is carried out. */
export interface ImportOptions {
  /** Is told now and then how many records are written. */
  readonly onProgress?: (written: number) => void;
}

/** No call writes more characters of lines than about so many. */
const MAX_CHARACTERS_AT_ONCE = 1_000_000;

/**
 * Makes the ledger that `exportLedger` wrote, in a ledger of another store that nobody has used yet:
 * the same policy, balances, journal and totals, and the same ids remembered. What comes of it is read
 * back and added up before anybody may spend from it.
 *
 * Until then everything in the new ledger is frozen. An import that broke off is gone on with by
 * importing the same export again, from its first line.
 *
 * @param store The store to import into. It stays open.
 * @param lines The lines of the export, or a function that gives them from the first one on: then
 *   they are read twice, and nothing is written unless all of them are sound and add up.
 * @throws PurseError `INVALID_EXPORT`: a line cannot be read, or lines are missing or were changed.
 * @throws PurseError `LEDGER_NOT_EMPTY`: the ledger was used before; choose another name.
 * @throws PurseError `IMPORT_FAILED`: what was written does not add up to what was exported.
 * @throws StoreError
 * @example
 * ```ts
 * import { exportLedger, importLedger } from 'pursestrings';
 * import { memory } from 'pursestrings/stores/memory';
 * import { sqlite } from 'pursestrings/stores/sqlite';
 *
 * const file = sqlite('./purse.db');
 * const { ledger, charges } = await importLedger(memory().forLedger('copy'), exportLedger(file));
 * console.log(ledger, charges); // copy 0
 * await file.close();
 * ```
 */
export async function importLedger(
  store: LedgerStore,
  lines: ExportLines | (() => ExportLines),
  options: ImportOptions = {},
): Promise<Imported> {
  const given = typeof lines === 'function' ? lines : undefined;
  if (given !== undefined) await checkLines(given());
  const target = PatientStore.on(store, DEFAULT_PATIENCE);
  const reader = new LineReader();
  let writer: RecordWriter | undefined;
  let header: Header | undefined;
  for await (const line of given?.() ?? (lines as ExportLines)) {
    if (header === undefined || writer === undefined) {
      header = readHeader(reader, line);
      writer = new RecordWriter(target, await begin(target, header), options);
      continue;
    }
    const record = reader.record(line);
    if (record !== null) await writer.add(record, line.length);
  }
  const trailer = reader.finish();
  if (header === undefined || writer === undefined) throw nothingToImport();
  await writer.flush();
  await compare(target, trailer);
  await release(target, header, writer.revision);
  const { envelopes, holds, charges, totals } = trailer;
  return { ledger: target.ledger, envelopes, holds, charges, totals };
}

/** Bad limits or units are found before anything is written. */
function readHeader(reader: LineReader, line: string): Header {
  const header = reader.header(line);
  compilePolicy({ ...header.policy, revision: 0 });
  return header;
}

/** Reads an export to its end, and adds it up. */
async function checkLines(lines: ExportLines): Promise<void> {
  const reader = new LineReader();
  const auditor = new Auditor();
  let begun = false;
  for await (const line of lines) {
    const record = begun ? reader.record(line) : null;
    if (!begun) readHeader(reader, line);
    begun = true;
    if (record !== null) auditor.add(record);
  }
  if (!begun) throw nothingToImport();
  reader.finish();
  refuseMismatch(auditor.finish());
}

/** Gathers records and writes many at a time. */
class RecordWriter {
  /** The revision of the policy as long as the import is under way. */
  readonly revision: number;
  readonly #store: LedgerStore;
  readonly #options: ImportOptions;
  #records: LedgerRecord[] = [];
  #characters = 0;
  #written = 0;

  constructor(store: LedgerStore, revision: number, options: ImportOptions) {
    this.#store = store;
    this.revision = revision;
    this.#options = options;
  }

  async add(record: LedgerRecord, characters: number): Promise<void> {
    this.#records.push(record);
    this.#characters += characters;
    const full = this.#records.length >= MAX_WRITTEN_AT_ONCE;
    if (full || this.#characters >= MAX_CHARACTERS_AT_ONCE) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#records.length === 0) return;
    const written = await this.#store.writeLedger(this.#records, this.revision);
    if (!written) throw takenOver(this.#store);
    this.#written += this.#records.length;
    this.#records = [];
    this.#characters = 0;
    this.#options.onProgress?.(this.#written);
  }
}

/**
 * Freezes the ledger under the name of the export, or finds it frozen so, and tells the revision.
 * Whoever comes second with another export finds a ledger that is in use.
 */
async function begin(store: LedgerStore, header: Header): Promise<number> {
  const standing = await store.readPolicy();
  if (standing.freezes.some(({ reason }) => reason === underWay(header))) return standing.revision;
  if (standing.revision !== 0 || !(await read(() => isEmpty(store)))) throw notEmpty(store);
  const { units } = header.policy;
  const freezes = [{ where: {}, reason: underWay(header) }];
  const marked = await store.writePolicy({ revision: 0, units, limits: [], freezes }, 0);
  if (marked.freezes[0]?.reason !== underWay(header)) throw notEmpty(store);
  return marked.revision;
}

/** True when nothing at all is recorded: no resolved hold either, and no refusal in a total. */
async function isEmpty(store: LedgerStore): Promise<boolean> {
  for await (const _ of store.readLedger('whole')) return false;
  return true;
}

/** Reads back what was written. Only what a store forgets by its own clock may be less. */
async function compare(store: LedgerStore, trailer: Trailer): Promise<void> {
  const { counts, sums, audit } = await read(() => readBack(store));
  const same =
    counts.envelopes === trailer.envelopes &&
    counts.charges === trailer.charges &&
    counts.holds <= trailer.holds &&
    counts.totals <= trailer.totals &&
    JSON.stringify(sums) === JSON.stringify(trailer.sums);
  if (!same) throw different(store, counts, trailer);
  refuseMismatch(audit);
}

function refuseMismatch({ mismatches }: Audit): void {
  const [mismatch] = mismatches;
  if (mismatch === undefined) return;
  const { envelope, field, recorded, expected } = mismatch;
  throw new PurseError(
    'IMPORT_FAILED',
    `Envelope ${JSON.stringify(envelope.key)} says ${field} ${recorded} where its records add up to ` +
      `${expected}, steps of ${envelope.unit}: the ledger that was exported does not add up. ` +
      `Run purse verify on it`,
  );
}

/** A reading of everything that breaks off is begun again; it may take as long as it takes. */
function read<T>(work: () => Promise<T>): Promise<T> {
  const { retryForMs } = DEFAULT_PATIENCE;
  return askUntilAnswered(work, { operationTimeoutMs: Number.POSITIVE_INFINITY, retryForMs });
}

async function readBack(
  store: LedgerStore,
): Promise<{ readonly counts: Counts; readonly sums: Sums; readonly audit: Audit }> {
  const tally = new Tally();
  const auditor = new Auditor();
  for await (const record of store.readLedger('whole')) {
    tally.add(record);
    auditor.add(record);
  }
  const { counts, sums } = tally;
  return { counts, sums, audit: auditor.finish() };
}

/** Puts the exported policy in the place of the one that marked the import. */
async function release(store: LedgerStore, { policy }: Header, revision: number): Promise<void> {
  const wanted: Policy = { ...policy, revision };
  const written = await store.writePolicy(wanted, revision);
  if (written.revision !== revision + 1) throw takenOver(store);
}

function underWay({ id }: Header): string {
  return `import of export ${id} is under way`;
}

function notEmpty({ ledger }: LedgerStore): PurseError {
  return new PurseError(
    'LEDGER_NOT_EMPTY',
    `The ledger ${JSON.stringify(ledger)} was used before, and an import makes a new one; ` +
      `give it a name of its own`,
  );
}

function takenOver({ ledger }: LedgerStore): PurseError {
  return new PurseError(
    'LEDGER_NOT_EMPTY',
    `The policy of the ledger ${JSON.stringify(ledger)} was changed while it was imported; ` +
      `import into another ledger, and let nobody use it meanwhile`,
  );
}

function different({ ledger }: LedgerStore, counts: Counts, trailer: Trailer): PurseError {
  return new PurseError(
    'IMPORT_FAILED',
    `The ledger ${JSON.stringify(ledger)} has ${counts.charges} charges in ${counts.envelopes} envelopes, ` +
      `and ${trailer.charges} in ${trailer.envelopes} were exported, or they add up to something else; ` +
      `it stays frozen. Import into another ledger, and let nobody use it meanwhile`,
  );
}

function nothingToImport(): PurseError {
  return new PurseError('INVALID_EXPORT', 'There is nothing to import: the export has no lines');
}
