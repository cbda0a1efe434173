/** A budget that outlives the process: in a file, or in a storage of one's own. */
import { rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import {
  BudgetEnforcer,
  type BudgetStorage,
  type PendingCommit,
  type SpendingEnvelope,
  type Transaction,
} from 'pursestrings/envelopes';

// In a file there is nothing else to it, and several processes may share it.
for (const run of ['first', 'second']) {
  const enforcer = new BudgetEnforcer({ namespace: 'agent-007', store: 'sqlite:./envelopes.db' });
  enforcer.createEnvelope({ category: 'llm', limit: 10, period: 'monthly' });
  enforcer.record('llm', 4, run);
  console.log(run, enforcer.utilization('llm').spent); // first 4, second 8
  await enforcer.close();
}

/** Keeps everything as JSON by keys, as one would in Redis. Here the keys are in a file. */
class JsonStorage implements BudgetStorage {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async getEnvelope(id: string): Promise<SpendingEnvelope | null> {
    return (await this.#all<SpendingEnvelope>('envelope:')).find((each) => each.id === id) ?? null;
  }

  async getEnvelopeByCategory(category: string): Promise<SpendingEnvelope | null> {
    const envelopes = await this.#all<SpendingEnvelope>('envelope:');
    return envelopes.findLast((each) => each.category === category) ?? null;
  }

  async saveEnvelope(envelope: SpendingEnvelope): Promise<void> {
    await this.#put(`envelope:${envelope.id}`, envelope);
  }

  async listEnvelopes(): Promise<readonly SpendingEnvelope[]> {
    return this.#all('envelope:');
  }

  async saveTransaction(transaction: Transaction): Promise<void> {
    await this.#put(`transaction:${transaction.id}`, transaction);
  }

  async listTransactions(): Promise<readonly Transaction[]> {
    return this.#all('transaction:');
  }

  async saveCommit(commit: PendingCommit): Promise<void> {
    await this.#put(`commit:${commit.id}`, commit);
  }

  async getCommit(id: string): Promise<PendingCommit | null> {
    return (await this.#all<PendingCommit>('commit:')).find((each) => each.id === id) ?? null;
  }

  async deleteCommit(id: string): Promise<void> {
    await this.#put(`commit:${id}`, undefined);
  }

  async listCommits(): Promise<readonly PendingCommit[]> {
    return this.#all('commit:');
  }

  async #read(): Promise<Record<string, never>> {
    return JSON.parse(await readFile(this.#path, 'utf8').catch(() => '{}'));
  }

  async #put(key: string, value: unknown): Promise<void> {
    const { [key]: _, ...others } = await this.#read();
    await writeFile(this.#path, JSON.stringify({ ...others, [key]: value }));
  }

  async #all<T>(prefix: string): Promise<T[]> {
    const entries = Object.entries(await this.#read());
    return entries.filter(([key]) => key.startsWith(prefix)).map(([, value]) => value as T);
  }
}

for (const run of ['first', 'second']) {
  const storage = new JsonStorage('./envelopes.json');
  const enforcer = await BudgetEnforcer.open({}, storage);
  enforcer.createEnvelope({ category: 'llm', limit: 10, period: 'monthly' });
  enforcer.record('llm', 4, run);
  await enforcer.flush(); // throws if something was not saved; from then on nothing is permitted
  console.log(run, enforcer.utilization('llm').spent); // first 4, second 8
}
rmSync('./envelopes.json');
