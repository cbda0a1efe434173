import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { type Charge, openPurse, type Purse, type PurseOptions } from '../../src/index.ts';
import { migrate } from '../../src/stores/postgres.ts';
import { postgresServer } from '../servers/postgres-server.ts';
import { startRedis } from '../servers/redis-server.ts';
import { balanceOf, charges } from '../stores/fixture.ts';
import { BACKENDS, type Backend, freshLedger } from './backends.ts';

const LIMITS = [{ name: 'all', cap: { usd: 100 } }];
const IMPATIENT = { operationTimeoutMs: 500, retryForMs: 1000 };
const PATIENT = { operationTimeoutMs: 500, retryForMs: 60_000 };

/** A server of our own, which may be stopped. */
interface Server {
  readonly url: string;
  pause(): void;
  resume(): void;
  kill(): Promise<void>;
  start(): Promise<void>;
}

const servers = new Map<Backend['server'], Server>();
const endings: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const redis = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
  endings.push(() => redis.stop());
  const postgres = await postgresServer();
  endings.push(() => postgres.remove());
  await postgres.start();
  await migrate(postgres.url);
  servers.set('redis', redis).set('postgres', postgres);
});

afterAll(async () => {
  for (const end of endings) await end();
});

/** Purses on one ledger, each with a client of its own. */
class Customer {
  readonly hasty: Purse;
  readonly patient: Purse;
  /** One that lets spends through while its store is away, and what it said of that. */
  readonly allowing: Purse;
  readonly errors: unknown[] = [];

  static async of({ open }: Backend, { url }: Server): Promise<Customer> {
    const ledger = freshLedger();
    const purse = async (options: PurseOptions): Promise<Purse> => {
      const { store, end } = await open(url, ledger);
      const opened = await openPurse({ store, limits: LIMITS, ...options });
      onTestFinished(async () => {
        await opened.close();
        await end();
      });
      await opened.check({ usd: 1 });
      return opened;
    };
    const allow = { ...IMPATIENT, onStoreFailure: 'allow' } as const;
    return new Customer(await purse(IMPATIENT), await purse(PATIENT), await purse(allow));
  }

  private constructor(hasty: Purse, patient: Purse, allowing: Purse) {
    this.hasty = hasty;
    this.patient = patient;
    this.allowing = allowing;
    allowing.on('error', (error) => this.errors.push(error));
  }

  /** What began while the server was stopped, and waits for it. */
  #waiting: Promise<Charge> | undefined;

  async whilePaused(): Promise<void> {
    const { hasty, patient, allowing, errors } = this;
    this.#waiting = patient.charge({ usd: 1 }, {}, { id: 'patient' });
    const unknown = hasty.charge({ usd: 1 }, {}, { id: 'hasty' });
    void unknown.catch(() => undefined);
    expect(await hasty.health({ timeoutMs: 100 })).toMatchObject({
      ok: false,
      pending: 1,
      error: { code: 'STORE_UNAVAILABLE', failure: 'unreachable' },
    });
    await expect(unknown).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', retryable: true });
    const hold = await allowing.reserve({ usd: 2 }, {}, { id: 'allowed' });
    expect(hold.untracked).toBe(true);
    expect((await hold.settle({ usd: 1.5 })).late).toBe(true);
    expect(errors).toHaveLength(1);
    expect((await allowing.health({ timeoutMs: 100 })).pending).toBe(1);
    expect((await patient.health({ timeoutMs: 100 })).pending).toBe(1);
  }

  async onceResumed(): Promise<void> {
    const { hasty, patient, allowing } = this;
    expect(await this.#waiting).toMatchObject({ id: 'patient', replayed: false });
    // Whether or not it has happened: with its id, it happens once.
    await patient.charge({ usd: 1 }, {}, { id: 'hasty' });
    await vi.waitFor(async () => expect(await charges(patient)).toHaveLength(3), 30_000);
    const healths = await Promise.all([hasty, patient, allowing].map((purse) => purse.health()));
    expect(healths.map(({ ok, pending }) => [ok, pending])).toEqual(healths.map(() => [true, 0]));
  }

  /** Begins while the server is gone, and ends when it is back. */
  async acrossRestart(): Promise<void> {
    const { patient } = this;
    const charge = await patient.charge({ usd: 1 }, {}, { id: 'killed' });
    expect(charge.replayed).toBe(false);
    const ids = (await charges(patient)).map(({ id }) => id);
    expect(ids.toSorted()).toEqual(['allowed', 'hasty', 'killed', 'patient']);
    expect(await balanceOf(patient, 'all')).toEqual({ spent: 4.5, held: 0, available: 95.5 });
    expect(await patient.verify()).toMatchObject({ ok: true, charges: 4 });
  }
}

it.each(['redis', 'postgres'] as const)(
  'a %s server that stops is told of, passed by loudly where that was said, and asked again',
  async (kind) => {
    const server = servers.get(kind);
    if (server === undefined) throw new Error(`${kind} does not run`);
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    onTestFinished(() => warnings.mockRestore());
    const clients = BACKENDS.filter((backend) => backend.server === kind);
    const customers = await Promise.all(clients.map((client) => Customer.of(client, server)));

    server.pause();
    try {
      await Promise.all(customers.map((customer) => customer.whilePaused()));
    } finally {
      server.resume();
    }
    expect(warnings).toHaveBeenCalledTimes(customers.length);
    for (const customer of customers) await customer.onceResumed();

    await server.kill();
    for (const { hasty } of customers) {
      expect(await hasty.health()).toMatchObject({ ok: false, error: { failure: 'unreachable' } });
    }
    const done = customers.map((customer) => customer.acrossRestart());
    await server.start();
    await Promise.all(done);
  },
);
