import type {
  BudgetStorage,
  PendingCommit,
  SpendingEnvelope,
  Transaction,
} from '../../src/envelopes/index.ts';

/** What is used of node-redis. */
export interface RedisCommands {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  sAdd(key: string, member: string): Promise<unknown>;
  sMembers(key: string): Promise<string[]>;
  rPush(key: string, value: string): Promise<unknown>;
  lRange(key: string, from: number, to: number): Promise<string[]>;
  hSet(key: string, field: string, value: string): Promise<unknown>;
  hGet(key: string, field: string): Promise<string | null | undefined>;
  hDel(key: string, field: string): Promise<unknown>;
  hVals(key: string): Promise<string[]>;
}

/** A storage over Redis as users of the interface write it. */
export class RedisStorage implements BudgetStorage {
  readonly #redis: RedisCommands;
  readonly #prefix: string;

  constructor(redis: RedisCommands, prefix: string) {
    this.#redis = redis;
    this.#prefix = prefix;
  }

  async getEnvelope(id: string): Promise<SpendingEnvelope | null> {
    const raw = await this.#redis.get(`${this.#prefix}:envelope:${id}`);
    return raw ? JSON.parse(raw) : null;
  }

  async getEnvelopeByCategory(category: string): Promise<SpendingEnvelope | null> {
    const id = await this.#redis.get(`${this.#prefix}:category:${category}`);
    return id ? this.getEnvelope(id) : null;
  }

  async saveEnvelope(envelope: SpendingEnvelope): Promise<void> {
    await this.#redis.set(`${this.#prefix}:envelope:${envelope.id}`, JSON.stringify(envelope));
    await this.#redis.set(`${this.#prefix}:category:${envelope.category}`, envelope.id);
    await this.#redis.sAdd(`${this.#prefix}:envelopes`, envelope.id);
  }

  async listEnvelopes(): Promise<readonly SpendingEnvelope[]> {
    const ids = await this.#redis.sMembers(`${this.#prefix}:envelopes`);
    const envelopes = await Promise.all(ids.map((id) => this.getEnvelope(id)));
    return envelopes.filter((envelope) => envelope !== null);
  }

  async saveTransaction(transaction: Transaction): Promise<void> {
    await this.#redis.rPush(`${this.#prefix}:transactions`, JSON.stringify(transaction));
  }

  async listTransactions(): Promise<readonly Transaction[]> {
    const raw = await this.#redis.lRange(`${this.#prefix}:transactions`, 0, -1);
    return raw.map((text) => JSON.parse(text));
  }

  async saveCommit(commit: PendingCommit): Promise<void> {
    await this.#redis.hSet(`${this.#prefix}:commits`, commit.id, JSON.stringify(commit));
  }

  async getCommit(id: string): Promise<PendingCommit | null> {
    const raw = await this.#redis.hGet(`${this.#prefix}:commits`, id);
    return raw ? JSON.parse(raw) : null;
  }

  async deleteCommit(id: string): Promise<void> {
    await this.#redis.hDel(`${this.#prefix}:commits`, id);
  }

  async listCommits(): Promise<readonly PendingCommit[]> {
    const raw = await this.#redis.hVals(`${this.#prefix}:commits`);
    return raw.map((text) => JSON.parse(text));
  }
}
