import type {
  BudgetStorage,
  PendingCommit,
  SpendingEnvelope,
  Transaction,
} from '../../src/envelopes/index.ts';

/** What is in a database: it outlives the storages that are made on it. */
export type Database = Map<string, string>;

/** Is told of every call before it is carried out, and may fail it. */
export type OnCall = (call: string) => Promise<void> | void;

/** A storage as users write them: JSON under a key each, with dates as they come back from it. */
export class JsonStorage implements BudgetStorage {
  readonly #data: Database;
  readonly #onCall: OnCall;

  constructor(data: Database, onCall: OnCall = () => undefined) {
    this.#data = data;
    this.#onCall = onCall;
  }

  async getEnvelope(id: string): Promise<SpendingEnvelope | null> {
    await this.#onCall('getEnvelope');
    return this.#read(`envelope:${id}`);
  }

  async getEnvelopeByCategory(category: string): Promise<SpendingEnvelope | null> {
    await this.#onCall('getEnvelopeByCategory');
    return this.#read(`envelope:${this.#data.get(`category:${category}`)}`);
  }

  async saveEnvelope(envelope: SpendingEnvelope): Promise<void> {
    await this.#onCall('saveEnvelope');
    this.#data.set(`envelope:${envelope.id}`, JSON.stringify(envelope));
    this.#data.set(`category:${envelope.category}`, envelope.id);
  }

  async listEnvelopes(): Promise<readonly SpendingEnvelope[]> {
    await this.#onCall('listEnvelopes');
    return this.#all('envelope:');
  }

  async saveTransaction(transaction: Transaction): Promise<void> {
    await this.#onCall('saveTransaction');
    this.#data.set(`transaction:${transaction.id}`, JSON.stringify(transaction));
  }

  async listTransactions(): Promise<readonly Transaction[]> {
    await this.#onCall('listTransactions');
    return this.#all('transaction:');
  }

  async saveCommit(commit: PendingCommit): Promise<void> {
    await this.#onCall('saveCommit');
    this.#data.set(`commit:${commit.id}`, JSON.stringify(commit));
  }

  async getCommit(id: string): Promise<PendingCommit | null> {
    await this.#onCall('getCommit');
    return this.#read(`commit:${id}`);
  }

  async deleteCommit(id: string): Promise<void> {
    await this.#onCall('deleteCommit');
    this.#data.delete(`commit:${id}`);
  }

  async listCommits(): Promise<readonly PendingCommit[]> {
    await this.#onCall('listCommits');
    return this.#all('commit:');
  }

  #read<T>(key: string): T | null {
    const text = this.#data.get(key);
    return text === undefined ? null : (JSON.parse(text) as T);
  }

  #all<T>(prefix: string): T[] {
    const entries = [...this.#data].filter(([key]) => key.startsWith(prefix));
    return entries.map(([, text]) => JSON.parse(text) as T);
  }
}
