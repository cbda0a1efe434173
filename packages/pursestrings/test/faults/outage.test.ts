import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { type Charge, openPurse, type Purse, type PurseOptions } from '../../src/index.ts';
import { migrate } from '../../src/stores/postgres.ts';
import { postgresServer } from '../servers/postgres-server.ts';
import { startRedis } from '../servers/redis-server.ts';
import { balanceOf, charges } from '../stores/fixture.ts';
import { BACKENDS, type Backend, freshLedger } from './backends.ts';

const LIMITS = [{ name: 'all', cap: { usd: 100 } }];
/** Long enough for a busy machine to open a purse in. */
const IMPATIENT = { operationTimeoutMs: 1000, retryForMs: 3000 };
const PATIENT = { operationTimeoutMs: 1000, retryForMs: 60_000 };

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
interface Customer {
  readonly hasty: Purse;
  readonly patient: Purse;
  /** One that lets spends through while its store is away, and what it said of that. */
  readonly allowing: Purse;
  readonly errors: readonly unknown[];
}

async function customerOf({ open }: Backend, { url }: Server): Promise<Customer> {
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
  const allowing = await purse({ ...IMPATIENT, onStoreFailure: 'allow' });
  const errors: unknown[] = [];
  allowing.on('error', (error) => errors.push(error));
  return { hasty: await purse(IMPATIENT), patient: await purse(PATIENT), allowing, errors };
}

/** While the server stands still. Something began before, and waits for it. */
async function expectWhilePaused({ hasty, patient, allowing, errors }: Customer): Promise<void> {
  const unknown = hasty.charge({ usd: 1 }, {}, { id: 'hasty' });
  void unknown.catch(() => undefined);
  const allowed = allowing.reserve({ usd: 2 }, {}, { id: 'allowed' });
  // It is on its way before a probe takes the connection that is free.
  for (let turn = 0; turn < 3; turn += 1) await nextTurn();
  expect(await hasty.health({ timeoutMs: 100 })).toMatchObject({
    ok: false,
    pending: 1,
    error: { code: 'STORE_UNAVAILABLE', failure: 'unreachable' },
  });
  await expect(unknown).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', retryable: true });
  const hold = await allowed;
  expect(hold.untracked).toBe(true);
  expect((await hold.settle({ usd: 1.5 })).late).toBe(true);
  expect(errors).toHaveLength(1);
  expect((await allowing.health({ timeoutMs: 100 })).pending).toBe(1);
  expect((await patient.health({ timeoutMs: 100 })).pending).toBe(1);
}

async function expectOnceResumed(customer: Customer, waiting: Promise<Charge>): Promise<void> {
  const { hasty, patient, allowing } = customer;
  expect(await waiting).toMatchObject({ id: 'patient', replayed: false });
  // Whether or not it has happened: with its id, it happens once.
  await patient.charge({ usd: 1 }, {}, { id: 'hasty' });
  await vi.waitFor(async () => expect(await charges(patient)).toHaveLength(3), 30_000);
  // What stands in the journal already may not have been answered yet.
  await vi.waitFor(async () => {
    const healths = await Promise.all([hasty, patient, allowing].map((purse) => purse.health()));
    expect(healths.map(({ ok, pending }) => [ok, pending])).toEqual(healths.map(() => [true, 0]));
  }, 30_000);
}

/** Begins while the server is gone, and ends when it is back. */
async function expectAcrossRestart({ patient }: Customer): Promise<void> {
  const charge = await patient.charge({ usd: 1 }, {}, { id: 'killed' });
  expect(charge.replayed).toBe(false);
  const ids = (await charges(patient)).map(({ id }) => id);
  expect(ids.toSorted()).toEqual(['allowed', 'hasty', 'killed', 'patient']);
  expect(await balanceOf(patient, 'all')).toEqual({ spent: 4.5, held: 0, available: 95.5 });
  expect(await patient.verify()).toMatchObject({ ok: true, charges: 4 });
}

it.each(['redis', 'postgres'] as const)(
  'a %s server that stops is told of, passed by loudly where that was said, and asked again',
  async (kind) => {
    const server = servers.get(kind);
    if (server === undefined) throw new Error(`${kind} does not run`);
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    onTestFinished(() => warnings.mockRestore());
    const clients = BACKENDS.filter((backend) => backend.server === kind);
    const customers = await Promise.all(clients.map((client) => customerOf(client, server)));

    server.pause();
    const begun = customers.map((customer) => ({
      customer,
      waiting: customer.patient.charge({ usd: 1 }, {}, { id: 'patient' }),
    }));
    try {
      await Promise.all(customers.map(expectWhilePaused));
    } finally {
      server.resume();
    }
    expect(warnings).toHaveBeenCalledTimes(customers.length);
    await Promise.all(begun.map(({ customer, waiting }) => expectOnceResumed(customer, waiting)));

    await server.kill();
    for (const { hasty } of customers) {
      expect(await hasty.health()).toMatchObject({ ok: false, error: { failure: 'unreachable' } });
    }
    const done = customers.map(expectAcrossRestart);
    await server.start();
    await Promise.all(done);
  },
);
