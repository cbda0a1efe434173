import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Limit, openPurse, type Purse } from '../../src/index.ts';
import { migrate } from '../../src/stores/postgres.ts';
import { startChild } from '../contention/children.ts';
import { postgresUrl } from '../servers/postgres-server.ts';
import { sharedRedis } from '../servers/redis-server.ts';
import { tempDirectory } from '../stores/fixture.ts';
import { BACKENDS, type Backend, freshLedger } from './backends.ts';
import type { Answer, Request } from './purse-process.ts';

const HOUR_MS = 3_600_000;
const WORKER = new URL('purse-process.ts', import.meta.url);
const WRONG_CLOCK = new URL('wrong-clock.ts', import.meta.url).href;
const [redisServer, postgresServer] = [await sharedRedis(), await postgresUrl()];
const servers = { redis: redisServer.url, postgres: postgresServer.url };

beforeAll(() => migrate(servers.postgres));

afterAll(async () => {
  await Promise.all([redisServer.stop(), postgresServer.stop()]);
});

/** A purse in another process. */
type Elsewhere = (request: Request) => Promise<Answer>;

interface Place {
  /** The ledger as this process has it, with a right clock. */
  readonly purse: Purse;
  elsewhere(): Promise<Elsewhere>;
}

/** A ledger on a server, and processes that share it. */
async function placeOn({ name, server, open }: Backend, limits: readonly Limit[]): Promise<Place> {
  const ledger = freshLedger();
  const opened = await open(servers[server], ledger);
  const purse = await openPurse({ store: opened.store, limits });
  onTestFinished(async () => {
    await purse.close();
    await opened.end();
  });
  const compiled = await tempDirectory();
  const flags = ['--import', WRONG_CLOCK];
  const elsewhere = async (): Promise<Elsewhere> => {
    const child = startChild(WORKER, [name, servers[server], ledger], compiled, flags);
    expect(await child.line()).toBe('ready');
    return async (request) => {
      child.say(JSON.stringify(request));
      return JSON.parse(await child.line()) as Answer;
    };
  };
  return { purse, elsewhere };
}

/** Milliseconds from now to a time that another process told of. */
function msFromNow(time: unknown): number {
  return new Date(String(time)).getTime() - Date.now();
}

describe.each(BACKENDS.filter(({ name }) => name.startsWith('a URL')))('on $name', (backend) => {
  it('a clock that is hours wrong in another process moves no window', async () => {
    const { purse, elsewhere } = await placeOn(backend, [
      { name: 'hour', cap: { usd: 100 }, per: 'hour' },
      { name: 'day', cap: { usd: 100 }, per: 'day', timeZone: 'Asia/Kolkata' },
    ]);
    const [slow, fast] = await Promise.all([elsewhere(), elsewhere()]);
    expect(await slow({ do: 'clock', errorMs: -9 * HOUR_MS })).toMatchObject({ same: 0 });
    expect(await fast({ do: 'clock', errorMs: 9 * HOUR_MS })).toMatchObject({ same: 0 });
    // A window that ends in a few seconds, beside those of this hour and day.
    const from = new Date(Date.now() + 5000).toISOString();
    await purse.setLimit({ name: 'minute', cap: { usd: 4 }, per: { every: '1m', from } });
    const windows = async (): Promise<string[]> =>
      (await Array.fromAsync(purse.balances())).map(
        ({ limit, window, spent, held }) =>
          `${limit} ${window.start.toISOString()} ${spent + held}`,
      );
    const before = (await windows()).map((line) => line.replace(/ 0$/, ' 4'));
    for (const spender of [slow, fast, slow, fast]) {
      const { ok, id } = await spender({ do: 'reserve', usd: 1 });
      expect(ok).toBe(true);
      await spender({ do: 'settle', id: String(id) });
    }
    for (const spender of [slow, fast]) {
      const denied = await spender({ do: 'reserve', usd: 1 });
      expect(denied).toMatchObject({ ok: false, limit: 'minute', resetsAt: from });
    }
    expect(await windows()).toEqual(before);
    // The window ends by the store's clock, for both of them, and the next one affords as much.
    for (const spender of [slow, fast]) {
      await expect
        .poll(async () => (await spender({ do: 'reserve', usd: 2 }))['ok'], { timeout: 20_000 })
        .toBe(true);
      expect(Date.now()).toBeGreaterThanOrEqual(new Date(from).getTime() - 100);
    }
    expect(await slow({ do: 'reserve', usd: 1 })).toMatchObject({ ok: false, limit: 'minute' });
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 4 });
  });

  it('a clock that is hours wrong, or jumps, ends no hold and keeps none', async () => {
    const { purse, elsewhere } = await placeOn(backend, [{ name: 'all', cap: { usd: 10 } }]);
    const spender = await elsewhere();
    for (const errorMs of [9 * HOUR_MS, -9 * HOUR_MS]) {
      await spender({ do: 'clock', errorMs });
      const long = await spender({ do: 'reserve', usd: 1, ttlMs: 60_000 });
      const id = String(long['id']);
      for (const ms of [msFromNow(long['expiresAt']), long['remainingMs']]) {
        expect(ms).toBeGreaterThan(30_000);
        expect(ms).toBeLessThan(70_000);
      }
      // One that was taken here, by a right clock, looks long over there, or long away.
      const ours = await purse.reserve({ usd: 1 }, { agent: 'a' }, { ttlMs: 60_000 });
      expect(await spender({ do: 'take', id: ours.id })).toMatchObject({
        ok: true,
        aborted: false,
      });
      const short = await spender({ do: 'reserve', usd: 1, ttlMs: 300 });
      expect(await spender({ do: 'untilAborted', id: String(short['id']) })).toEqual({
        reason: 'HOLD_EXPIRED',
      });
      expect(await spender({ do: 'settle', id: String(short['id']) })).toMatchObject({
        late: true,
      });
      // The clock jumps to the other side while holds are open.
      await spender({ do: 'clock', errorMs: -errorMs });
      for (const held of [id, ours.id]) {
        const { remainingMs, aborted } = await spender({ do: 'remaining', id: held });
        expect([Number(remainingMs) > 10_000, aborted]).toEqual([true, false]);
        expect(await spender({ do: 'settle', id: held })).toMatchObject({ late: false });
      }
      const { ok, clockOffsetMs } = await spender({ do: 'health' });
      expect(ok).toBe(true);
      // The clock is wrong to the other side by now.
      expect(Math.abs(Number(clockOffsetMs) - errorMs)).toBeLessThan(30_000);
    }
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 6 });
    expect((await purse.report()).total).toEqual({ usd: 6 });
  });

  it('a policy that any process changes binds every other at its next reserve', async () => {
    const { purse, elsewhere } = await placeOn(backend, [{ name: 'all', cap: { usd: 5 } }]);
    const [one, two] = await Promise.all([elsewhere(), elsewhere()]);
    const asks = async (usd: number, agent = 'a'): Promise<unknown[]> => {
      const answers: unknown[] = [];
      for (const spender of [one, two]) {
        const { ok, id, limit, reason } = await spender({ do: 'reserve', usd, agent });
        if (ok === true) await spender({ do: 'release', id: String(id) });
        answers.push(ok === true || `${String(reason)} ${String(limit)}`);
      }
      return answers;
    };
    const both = (answer: unknown): unknown[] => [answer, answer];
    expect(await asks(5)).toEqual(both(true));
    // Changed, set and removed: here, there, and there.
    await purse.setLimit({ name: 'all', cap: { usd: 3 } });
    expect(await asks(5)).toEqual(both('exceeds all'));
    await one({ do: 'setLimit', limit: { name: 'agent', cap: { usd: 1 }, each: ['agent'] } });
    expect(await asks(2)).toEqual(both('exceeds agent'));
    await two({ do: 'removeLimit', name: 'agent' });
    expect(await asks(2)).toEqual(both(true));
    // Frozen there: nothing new anywhere, and open holds here and there are told.
    const [ours, theirs] = [
      await purse.reserve({ usd: 1 }, { agent: 'b' }),
      await one({ do: 'reserve', usd: 1, agent: 'b' }),
    ];
    const aborted = new Promise((resolve) => ours.signal.addEventListener('abort', resolve));
    const told = one({ do: 'untilAborted', id: String(theirs['id']) });
    await two({ do: 'freeze', agent: 'b' });
    expect(await told).toEqual({ reason: 'BUDGET_EXCEEDED' });
    await aborted;
    expect(await asks(1, 'b')).toEqual(both('frozen null'));
    expect(await asks(1, 'c')).toEqual(both(true));
    await one({ do: 'settle', id: String(theirs['id']) });
    await ours.release();
    await one({ do: 'unfreeze', agent: 'b' });
    expect(await asks(2, 'b')).toEqual(both(true));
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  });
});
