import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';

import { AgentTimeLimitError, runAgent, trySpawn } from '../../src/agents/index.ts';
import { BudgetExceededError, type Limit, PurseError } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { balanceOf, charges, KINDS, makePurse, makeStore } from '../stores/fixture.ts';

const LIMITS: readonly Limit[] = [
  { name: 'running', cap: { slots: 2 } },
  { name: 'day', cap: { tokens: 1000 }, per: 'day' },
  { name: 'agent', cap: { tokens: 600 }, each: ['agent'] },
  { name: 'task', cap: { tokens: 400 }, each: ['task'] },
];

/** Waits for a signal, as work does that can be told to end. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

describe.each(KINDS)('runAgent on %s', (kind) => {
  const open = async () => makePurse({ store: await makeStore(kind), limits: LIMITS });

  it('works under its labels, has a slot meanwhile, and gives it back', async () => {
    const purse = await open();
    const result = await runAgent(
      purse,
      { agent: 'a1', task: 't1', labels: { team: 'x' } },
      async (run) => {
        expect(run).toMatchObject({ agent: 'a1', task: 't1' });
        expect((await balanceOf(purse, 'running')).held).toBe(1);
        await purse.charge({ tokens: 10 });
        return 42;
      },
    );
    expect(result).toBe(42);
    expect((await balanceOf(purse, 'running')).held).toBe(0);
    expect((await charges(purse)).map(({ labels }) => labels)).toEqual([
      { agent: 'a1', task: 't1', team: 'x' },
    ]);
  });

  it('gives the slot back when the work throws, and hands the error on', async () => {
    const purse = await open();
    const work = runAgent(purse, { agent: 'a1' }, async () => {
      throw new RangeError('mine');
    });
    await expect(work).rejects.toThrow('mine');
    expect((await balanceOf(purse, 'running')).held).toBe(0);
  });

  it('binds every spend inside by the caps of task, agent and day', async () => {
    const purse = await open();
    await runAgent(purse, { agent: 'a1', task: 't1' }, async () => {
      await purse.charge({ tokens: 350 });
      await expect(purse.reserve({ tokens: 51 })).rejects.toThrow(/"task"/);
      await (await purse.reserve({ tokens: 50 })).settle();
    });
    await runAgent(purse, { agent: 'a1', task: 't2' }, async () => {
      await expect(purse.reserve({ tokens: 201 })).rejects.toThrow(/"agent"/);
    });
    await runAgent(purse, { agent: 'a2', task: 't2' }, async () => {
      await purse.charge({ tokens: 300 });
    });
    await runAgent(purse, { agent: 'a3', task: 't3' }, async () => {
      await expect(purse.reserve({ tokens: 301 })).rejects.toThrow(/"day"/);
    });
  });

  it('refuses one agent too many, and nothing of it runs', async () => {
    const purse = await open();
    const slots = [await trySpawn(purse, { agent: 'a1' }), await trySpawn(purse, { agent: 'a2' })];
    const third = await trySpawn(purse, { agent: 'a3' });
    expect(third).toMatchObject({
      allowed: false,
      reason: 'Maximum concurrent agents reached (2)',
      denial: { limit: 'running', unit: 'slots' },
    });
    let ran = false;
    const work = runAgent(purse, { agent: 'a3' }, async () => (ran = true));
    await expect(work).rejects.toThrow(BudgetExceededError);
    expect(ran).toBe(false);
    for (const spawned of slots) if (spawned.allowed) await spawned.slot.stop();
    expect((await balanceOf(purse, 'running')).held).toBe(0);
  });

  it('aborts at the time limit, records it, and lets nothing more be held', async () => {
    const purse = await open();
    let signal: AbortSignal | undefined;
    let after: unknown;
    const work = runAgent(purse, { agent: 'a1', task: 't1', maxDurationMs: 30 }, async (run) => {
      signal = run.signal;
      await untilAborted(run.signal).catch(() => undefined);
      after = await purse.reserve({ tokens: 1 }).catch((error: unknown) => error);
      return 'too late';
    });
    await expect(work).rejects.toThrow(AgentTimeLimitError);
    expect(signal?.aborted).toBe(true);
    expect(AgentTimeLimitError.isInstance(after)).toBe(true);
    expect((await balanceOf(purse, 'running')).held).toBe(0);
    const [row, ...others] = await charges(purse);
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      amounts: {},
      labels: { agent: 'a1', task: 't1', ended: 'time_limit' },
      description: expect.stringContaining('30 ms') as string,
    });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('leaves work behind that does not end, and records what it spends all the same', async () => {
    const purse = await open();
    let wake: () => void = () => undefined;
    let late: Promise<unknown> = Promise.resolve();
    const work = runAgent(purse, { agent: 'a1', maxDurationMs: 10 }, () => {
      late = new Promise<void>((resolve) => (wake = resolve)).then(() =>
        purse.charge({ tokens: 7 }),
      );
      return late;
    });
    await expect(work).rejects.toThrow(AgentTimeLimitError);
    expect((await balanceOf(purse, 'running')).held).toBe(0);
    wake();
    await late;
    expect((await balanceOf(purse, 'day')).spent).toBe(7);
  });

  it('ends by the signal of its caller, of its parent, and by a freeze', async () => {
    const purse = await open();
    const caller = new AbortController();
    const mine = runAgent(purse, { agent: 'a1', signal: caller.signal }, ({ signal }) =>
      untilAborted(signal),
    );
    await sleep(5);
    caller.abort(new Error('enough'));
    await expect(mine).rejects.toThrow('enough');

    const late = runAgent(purse, { agent: 'a1', signal: caller.signal }, async () => 'begun');
    await expect(late).rejects.toThrow('enough');

    let child: Promise<unknown> = Promise.resolve();
    await runAgent(purse, { agent: 'p' }, async () => {
      child = runAgent(purse, { agent: 'c' }, ({ signal }) => untilAborted(signal));
      child.catch(() => undefined);
      await sleep(5);
    });
    await expect(child).rejects.toMatchObject({ code: 'AGENT_ENDED' });

    const frozen = runAgent(purse, { agent: 'a2' }, ({ signal }) => untilAborted(signal));
    frozen.catch(() => undefined);
    await sleep(5);
    await purse.freeze({ agent: 'a2' }, 'too dear');
    await expect(frozen).rejects.toThrow('too dear');
    expect((await balanceOf(purse, 'running')).held).toBe(0);
  });
});

it.each([
  [{ agent: '' }, /agent is ""/],
  [{ agent: 7 as never }, /agent is 7/],
  [{ agent: 'a', task: '' }, /task is ""/],
  [{ agent: 'a', maxDurationMs: 0 }, /maxDurationMs is 0/],
  [{ agent: 'a', maxDurationMs: Number.NaN }, /maxDurationMs is NaN/],
  [{ agent: 'a', share: { tokens: -1 } }, /tokens/],
  [{ agent: 'a', share: { slots: 1 } }, /slots/],
])('refuses %j, and takes no slot', async (options, message) => {
  const purse = await makePurse({ limits: LIMITS });
  const work = runAgent(purse, options, async () => 1);
  await expect(work).rejects.toThrow(message);
  await expect(work).rejects.toThrow(PurseError);
  expect((await balanceOf(purse, 'running')).held).toBe(0);
});

it('hands over what the work came to, also when the ledger cannot be told that it ended', async () => {
  const line = new Line();
  const store = remoteStore(memory(), line);
  const purse = await makePurse({ store, limits: LIMITS, retryForMs: 0 });
  const failures: unknown[] = [];
  purse.on('error', (error) => failures.push(error));
  const done = runAgent(purse, { agent: 'a' }, async () => {
    line.fate = () => 'refused';
    return 'done';
  });
  await expect(done).resolves.toBe('done');
  const failed = runAgent(purse, { agent: 'b' }, async () => 1);
  await expect(failed).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  line.fate = () => 'arrives';
  const thrown = runAgent(purse, { agent: 'c' }, async () => {
    line.fate = () => 'refused';
    throw new RangeError('mine');
  });
  await expect(thrown).rejects.toThrow('mine');
  expect(failures.length).toBeGreaterThan(1);
  line.fate = () => 'arrives';
});

it('says so when no limit names slots', async () => {
  const purse = await makePurse({ limits: [{ name: 'day', cap: { tokens: 1 } }] });
  await expect(runAgent(purse, { agent: 'a' }, async () => 1)).rejects.toThrow(
    /No limit covers slots/,
  );
});
