import { describe, expect, it } from 'vitest';

import { AgentTimeLimitError, BudgetService, DEFAULT_BUDGET } from '../../src/agents/index.ts';
import { InvalidOptionError, openPurse, StoreError } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { manualClock } from '../../src/testing/index.ts';
import { charges, makePurse, openFile, tempFile } from '../stores/fixture.ts';
import { configOf, makeService } from './budget-fixture.ts';

describe('the interface', () => {
  it('takes its configuration by key, and the default for a key that is not known', () => {
    expect(makeService().getBudget()).toEqual(DEFAULT_BUDGET);
    expect(new BudgetService().getBudget()).toEqual({
      dailyTokenLimit: 10_000_000,
      perAgentTokenLimit: 2_000_000,
      maxConcurrentAgents: 10,
      maxTaskDurationMinutes: 120,
      enforceHardLimits: true,
    });
    const written = { dailyTokenLimit: '500', enforceHardLimits: 'false' };
    expect(makeService(written).getBudget()).toEqual({
      ...DEFAULT_BUDGET,
      dailyTokenLimit: 500,
      enforceHardLimits: false,
    });
  });

  it('hands out copies', () => {
    const service = makeService();
    (service.getBudget() as { dailyTokenLimit: number }).dailyTokenLimit = 1;
    service.recordUsage('a', 't', 1, 2);
    const summary = service.getUsageSummary();
    (summary.agentUsage[0] as { totalTokens: number }).totalTokens = 0;
    (summary.agentUsage as unknown[]).length = 0;
    expect(service.getBudget().dailyTokenLimit).toBe(10_000_000);
    expect(service.getUsageSummary().agentUsage[0]?.totalTokens).toBe(3);
  });

  it.each([
    [{ dailyTokenLimit: -1 }, 'orchestrator.budget.dailyTokenLimit is -1'],
    [{ perAgentTokenLimit: 1.5 }, 'orchestrator.budget.perAgentTokenLimit is 1.5'],
    [{ maxConcurrentAgents: 'ten' }, 'orchestrator.budget.maxConcurrentAgents is "ten"'],
    [{ maxTaskDurationMinutes: 0 }, 'orchestrator.budget.maxTaskDurationMinutes is 0'],
    [{ enforceHardLimits: 'yes' }, 'orchestrator.budget.enforceHardLimits is "yes"'],
  ])('refuses %j', (budget, message) => {
    expect(() => new BudgetService(configOf(budget))).toThrow(message);
    expect(() => new BudgetService(configOf(budget))).toThrow(InvalidOptionError);
  });

  it('refuses a time zone that is none', () => {
    expect(() => new BudgetService(undefined, { timeZone: 'Mars/Olympus' })).toThrow(
      /Mars\/Olympus/,
    );
  });

  it('sums up the day and the agents', () => {
    const service = makeService({ dailyTokenLimit: 3000, perAgentTokenLimit: 2000 });
    service.recordUsage('a1', 't1', 100, 50);
    service.recordUsage('a1', 't2', 10, 7);
    service.recordUsage('a2', 't3', 0, 0);
    service.agentStarted();
    expect(service.getUsageSummary()).toEqual({
      dailyTokensUsed: 167,
      dailyTokenLimit: 3000,
      dailyUsagePercent: 5.57,
      agentUsage: [
        {
          agentId: 'a1',
          taskId: 't1',
          inputTokens: 110,
          outputTokens: 57,
          totalTokens: 167,
          usagePercent: 8.35,
        },
        {
          agentId: 'a2',
          taskId: 't3',
          inputTokens: 0,
          outputTokens: 0,
          totalTokens: 0,
          usagePercent: 0,
        },
      ],
      activeAgents: 1,
      maxConcurrentAgents: 10,
      budgetStatus: 'within_budget',
    });
  });

  it.each([
    [79_999, 'within_budget', 80],
    [80_000, 'approaching_limit', 80],
    [94_999, 'approaching_limit', 95],
    [95_000, 'at_limit', 95],
    [99_999, 'at_limit', 100],
    [100_000, 'exceeded', 100],
    [123_456, 'exceeded', 123.46],
  ])('judges %d of 100,000 by the ratio that is not rounded: %s', (used, status, percent) => {
    const service = makeService({ dailyTokenLimit: 100_000 });
    service.recordUsage('a', 't', used, 0);
    const summary = service.getUsageSummary();
    expect(summary.budgetStatus).toBe(status);
    expect(Math.abs(summary.dailyUsagePercent - percent)).toBeLessThan(0.005);
    expect(summary.dailyUsagePercent).toBe(Math.round(used / 10) / 100);
  });

  it('judges the status on the exact ratio, also where a division would round it', () => {
    const service = makeService({ dailyTokenLimit: Number.MAX_SAFE_INTEGER });
    // The last whole number below 95 %: divided, it comes out as 0.95.
    const used = 8_556_839_292_003_936;
    for (let count = 0; count < 16; count += 1) service.recordUsage('a', 't', used / 16, 0);
    service.recordUsage('a', 't', 5, 0);
    expect(service.getUsageSummary().budgetStatus).toBe('approaching_limit');
    service.recordUsage('a', 't', 1, 0);
    expect(service.getUsageSummary().budgetStatus).toBe('at_limit');
  });

  it('gives its reasons in these words, concurrency first', () => {
    const service = makeService({ dailyTokenLimit: 1000, maxConcurrentAgents: 2 });
    expect(service.canSpawnAgent()).toEqual({ allowed: true });
    service.recordUsage('a', 't', 800, 250);
    expect(service.canSpawnAgent()).toEqual({
      allowed: false,
      reason: 'Daily token budget exceeded (1050/1000)',
    });
    service.agentStarted();
    service.agentStarted();
    expect(service.canSpawnAgent()).toEqual({
      allowed: false,
      reason: 'Maximum concurrent agents reached (2)',
    });
  });

  it('counts agents that run, also past the cap, and never below zero', () => {
    const service = makeService({ maxConcurrentAgents: 1 });
    service.agentStopped();
    service.agentStarted();
    service.agentStarted();
    expect(service.getUsageSummary().activeAgents).toBe(2);
    service.agentStopped();
    expect(service.canSpawnAgent().allowed).toBe(false);
    service.agentStopped();
    service.agentStopped();
    expect(service.getUsageSummary().activeAgents).toBe(0);
    service.agentStarted();
    expect(service.getUsageSummary().activeAgents).toBe(1);
  });

  it.each([1 / 3, 0.000_001, '1e9'])(
    'counts agents whose tasks may take %s minutes',
    async (most) => {
      const service = makeService({ maxTaskDurationMinutes: most }, { clock: manualClock() });
      service.agentStarted();
      expect(service.getUsageSummary().activeAgents).toBe(1);
      const spawned = await service.trySpawn({ agentId: 'a', taskId: '' });
      expect(spawned.allowed).toBe(true);
    },
  );

  it('is over budget from the limit on, in the life of an agent', async () => {
    const clock = manualClock('2026-05-01T12:00:00Z');
    const service = makeService({ perAgentTokenLimit: 100 }, { clock });
    expect(service.isAgentOverBudget('a')).toEqual({ overBudget: false, totalTokens: 0 });
    service.recordUsage('a', 't', 50, 49);
    expect(service.isAgentOverBudget('a')).toEqual({ overBudget: false, totalTokens: 99 });
    clock.advance(3 * 86_400_000);
    service.recordUsage('a', 't', 1, 0);
    expect(service.isAgentOverBudget('a')).toEqual({ overBudget: true, totalTokens: 100 });
    expect((await service.summary()).dailyTokensUsed).toBe(1);
  });

  it('warns once where limits are soft, and lets pass', async () => {
    const told: string[] = [];
    const budget = { dailyTokenLimit: 100, perAgentTokenLimit: 60, enforceHardLimits: false };
    const service = makeService(budget, { warn: (message) => told.push(message) });
    for (let count = 0; count < 5; count += 1) service.recordUsage('a', 't', 30, 0);
    expect(told).toEqual([
      'Agent a has used up its token budget of 60; it is soft, and lets pass',
      'Daily token budget of 100 is used up; it is soft, and lets pass',
    ]);
    expect(service.canSpawnAgent()).toEqual({ allowed: true });
    const spawned = await service.trySpawn({ agentId: 'a' });
    expect(spawned.allowed).toBe(true);
    expect((await service.purse.tryReserve({ tokens: 5 }, { agent: 'a' })).ok).toBe(true);
  });

  it('answers the same by its asynchronous twins', async () => {
    const service = makeService({ dailyTokenLimit: 1000 });
    const recorded = await service.record('a', 't', 100, 20);
    expect(recorded).toMatchObject({
      agentId: 'a',
      taskId: 't',
      inputTokens: 100,
      outputTokens: 20,
    });
    expect(Date.parse(recorded.timestamp)).toBeGreaterThan(0);
    service.recordUsage('a', 't2', 1, 1);
    service.agentStarted();
    expect(await service.summary()).toEqual(service.getUsageSummary());
    expect(service.getUsageSummary().agentUsage[0]).toMatchObject({
      taskId: 't',
      totalTokens: 122,
    });
  });

  it('sees what is spent through the purse, in the work of its agents too', async () => {
    const service = makeService({ perAgentTokenLimit: 500 });
    const spawned = await service.trySpawn({ agentId: 'a', taskId: 't' });
    if (!spawned.allowed) throw new Error(spawned.reason);
    service.getUsageSummary();
    await spawned.slot.run(async () => service.purse.charge({ tokens: 40 }));
    expect(service.isAgentOverBudget('a').totalTokens).toBe(40);
    expect(service.getUsageSummary()).toMatchObject({
      dailyTokensUsed: 40,
      activeAgents: 1,
      agentUsage: [{ agentId: 'a', totalTokens: 40, inputTokens: 0 }],
    });
    await spawned.slot.stop();
    expect(service.getUsageSummary().activeAgents).toBe(0);
  });

  it('ends with close, and leaves a purse open that it was given', async () => {
    const own = makeService();
    await own.close();
    expect(() => own.recordUsage('a', 't', 1, 1)).toThrow(StoreError);
    expect(own.canSpawnAgent().allowed).toBe(false);
    expect(() => own.getUsageSummary()).toThrow(StoreError);

    const purse = await makePurse({});
    const given = makeService({}, { purse });
    given.agentStarted();
    await given.close();
    expect((await purse.check({ slots: 10 })).allowed).toBe(true);
  });
});

describe('what goes wrong with others', () => {
  it('the task duration limit is enforced, and recorded', async () => {
    const service = makeService({ maxTaskDurationMinutes: 0.0005 });
    const spawned = await service.trySpawn({ agentId: 'a', taskId: 't' });
    if (!spawned.allowed) throw new Error(spawned.reason);
    await expect.poll(() => spawned.slot.signal.aborted).toBe(true);
    expect(AgentTimeLimitError.isInstance(spawned.slot.signal.reason)).toBe(true);
    await spawned.slot.stop();
    expect(service.getUsageSummary().activeAgents).toBe(0);
    expect((await charges(service.purse))[0]).toMatchObject({
      labels: { agent: 'a', task: 't', ended: 'time_limit' },
    });
  });

  it('the limit for one agent blocks: its spawns and its spends', async () => {
    const service = makeService({ perAgentTokenLimit: 100 });
    service.recordUsage('a', 't', 60, 40);
    expect(await service.trySpawn({ agentId: 'a' })).toEqual({
      allowed: false,
      reason: 'Agent token budget exceeded for a (100/100)',
    });
    expect((await service.purse.tryReserve({ tokens: 1 }, { agent: 'a' })).ok).toBe(false);
    const other = await service.trySpawn({ agentId: 'b' });
    expect(other.allowed).toBe(true);
  });

  it('100 spawns at one moment do not pass a cap of 10', async () => {
    const service = makeService();
    const spawned = await Promise.all(
      Array.from({ length: 100 }, (_, index) => service.trySpawn({ agentId: `a${index}` })),
    );
    const allowed = spawned.filter((one) => one.allowed);
    expect(allowed).toHaveLength(10);
    expect(spawned.find((one) => !one.allowed)).toEqual({
      allowed: false,
      reason: 'Maximum concurrent agents reached (10)',
    });
    await Promise.all(allowed.map(({ slot }) => slot.stop()));
    expect(service.canSpawnAgent()).toEqual({ allowed: true });
  });

  it('an agent that is never stopped does not keep its slot for ever', () => {
    const clock = manualClock();
    const service = makeService({ maxConcurrentAgents: 1 }, { clock });
    service.agentStarted();
    clock.advance(119 * 60_000);
    expect(service.canSpawnAgent().allowed).toBe(false);
    clock.advance(60_000);
    expect(service.canSpawnAgent()).toEqual({ allowed: true });
    // The stop of a crashed agent that comes late takes nobody else's slot.
    service.agentStarted();
    service.agentStopped();
    service.agentStopped();
    expect(service.getUsageSummary().activeAgents).toBe(0);
  });

  it('nor one that was started past the cap, its place', async () => {
    const clock = manualClock();
    const service = makeService({ maxConcurrentAgents: 1 }, { clock });
    for (let count = 0; count < 3; count += 1) service.agentStarted();
    clock.advance(60 * 60_000);
    service.agentStarted();
    expect(service.getUsageSummary().activeAgents).toBe(4);
    clock.advance(60 * 60_000);
    expect(service.getUsageSummary().activeAgents).toBe(1);
    expect((await service.summary()).activeAgents).toBe(1);
    service.agentStopped();
    service.agentStopped();
    expect(service.canSpawnAgent().allowed).toBe(true);
  });

  it('the day begins at midnight in the zone that was named', () => {
    const clock = manualClock('2026-05-01T14:59:59.999Z');
    const tokyo = makeService({}, { clock, timeZone: 'Asia/Tokyo' });
    const berlin = makeService({}, { clock, timeZone: 'Europe/Berlin' });
    for (const service of [tokyo, berlin]) service.recordUsage('a', 't', 5, 5);
    clock.advance(1);
    expect(tokyo.getUsageSummary().dailyTokensUsed).toBe(0);
    expect(berlin.getUsageSummary().dailyTokensUsed).toBe(10);
    expect(tokyo.getUsageSummary().agentUsage[0]?.totalTokens).toBe(10);
  });

  it.each([
    ['23 hours in spring', '2026-03-28T23:00:00Z', 23],
    ['25 hours in autumn', '2026-10-24T22:00:00Z', 25],
  ])('a day has %s, where clocks are set', (_, midnight, hours) => {
    const clock = manualClock(midnight);
    const service = makeService({ dailyTokenLimit: 10 }, { clock, timeZone: 'Europe/Berlin' });
    service.recordUsage('a', 't', 10, 0);
    clock.advance(hours * 3_600_000 - 1);
    expect(service.canSpawnAgent().allowed).toBe(false);
    clock.advance(1);
    expect(service.canSpawnAgent()).toEqual({ allowed: true });
  });

  it("the day is the process's own where no zone is named", async () => {
    const service = makeService();
    const limit = (await service.purse.limits()).find(({ name }) => name === 'agents-day');
    expect(limit?.timeZone).toBe(new Intl.DateTimeFormat().resolvedOptions().timeZone);
  });

  it('no question reads the history, or more than it is about', async () => {
    const reads: string[] = [];
    const store = memory();
    const watched = new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...parts: unknown[]): unknown => {
          const answer: unknown = Reflect.apply(value, target, parts);
          if (String(name).startsWith('readBalances') || String(name).startsWith('readJournal')) {
            reads.push(`${String(name)}:${(answer as { items: unknown[] }).items.length}`);
          }
          return answer;
        };
      },
    });
    const service = makeService({}, { purse: await openPurse({ store: watched }) });
    for (let count = 0; count < 2000; count += 1) service.recordUsage(`a${count % 100}`, 't', 1, 1);
    await service.purse.charge({ tokens: 1 }, { agent: 'a1' });
    reads.length = 0;
    service.canSpawnAgent();
    service.isAgentOverBudget('a1');
    expect(reads).toEqual(['readBalancesSync:0', 'readBalancesSync:1', 'readBalancesSync:1']);
    reads.length = 0;
    service.getUsageSummary();
    expect(reads.some((read) => read.startsWith('readJournal'))).toBe(false);
    reads.length = 0;
    for (let count = 0; count < 10; count += 1) {
      service.canSpawnAgent();
      service.isAgentOverBudget('a1');
      service.getUsageSummary();
    }
    expect(reads).toEqual([]);
    // The first word of an agent, after something else has changed, does not list all the others.
    service.agentStarted();
    reads.length = 0;
    service.recordUsage('new', 't', 1, 1);
    expect(reads).toEqual(['readBalancesSync:0']);
  });

  it('a limit of 0 denies, and the summary says so', async () => {
    const service = makeService({ dailyTokenLimit: 0, perAgentTokenLimit: 0 });
    expect(service.canSpawnAgent().reason).toBe('Daily token budget exceeded (0/0)');
    expect(service.getUsageSummary()).toMatchObject({
      dailyUsagePercent: 100,
      budgetStatus: 'exceeded',
    });
    expect(service.isAgentOverBudget('a')).toEqual({ overBudget: true, totalTokens: 0 });
    expect((await service.trySpawn({ agentId: 'a' })).allowed).toBe(false);
    expect((await service.purse.tryReserve({ tokens: 1 }, { agent: 'a' })).ok).toBe(false);
    const nobody = makeService({ maxConcurrentAgents: 0 });
    expect(nobody.canSpawnAgent().reason).toBe('Maximum concurrent agents reached (0)');
    expect((await nobody.trySpawn({ agentId: 'a' })).allowed).toBe(false);
  });

  it.each([Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, '5', null, undefined])(
    'a count of %s is refused, and counts nothing',
    async (count) => {
      const service = makeService();
      const bad = count as number;
      expect(() => service.recordUsage('a', 't', bad, 1)).toThrow(/inputTokens is .*whole number/);
      expect(() => service.recordUsage('a', 't', 1, bad)).toThrow(/outputTokens is /);
      await expect(service.record('a', 't', bad, 1)).rejects.toThrow(InvalidOptionError);
      expect(service.getUsageSummary()).toMatchObject({ dailyTokensUsed: 0, agentUsage: [] });
    },
  );

  it('an id that is no text is refused', () => {
    const service = makeService();
    expect(() => service.recordUsage('', 't', 1, 1)).toThrow(/agentId is ""/);
    expect(() => service.recordUsage('a', 7 as never, 1, 1)).toThrow(/taskId is 7/);
    expect(() => service.recordUsage('x'.repeat(2000), 't', 1, 1)).toThrow(/agent/);
  });

  it('a restart goes on counting, and other processes count along', async () => {
    const path = await tempFile();
    const budget = { dailyTokenLimit: 1000 };
    const clock = manualClock('2026-05-01T12:00:00Z');
    const first = openFile(path, { clock });
    const before = makeService(budget, { purse: await makePurse({ store: first }) });
    before.recordUsage('b', 't9', 100, 50);
    before.recordUsage('a', 't1', 10, 5);
    before.recordUsage('b', 't2', 1, 1);
    await before.close();
    await first.close();

    const after = makeService(budget, {
      purse: await makePurse({ store: openFile(path, { clock }) }),
    });
    expect(after.getUsageSummary()).toMatchObject({
      dailyTokensUsed: 167,
      agentUsage: [
        { agentId: 'a', taskId: 't1', totalTokens: 15 },
        { agentId: 'b', taskId: 't9', inputTokens: 101, outputTokens: 51, totalTokens: 152 },
      ],
    });
    const other = makeService(budget, {
      purse: await makePurse({ store: openFile(path, { clock }) }),
    });
    other.recordUsage('c', 't', 800, 40);
    other.agentStarted();
    expect(after.canSpawnAgent().reason).toBe('Daily token budget exceeded (1007/1000)');
    expect(after.isAgentOverBudget('c').totalTokens).toBe(840);
    expect(after.getUsageSummary()).toMatchObject({ dailyTokensUsed: 1007, activeAgents: 1 });
    after.recordUsage('a', 'later', 1, 0);
    expect(other.getUsageSummary().agentUsage[0]).toMatchObject({ taskId: 't1', totalTokens: 16 });
    expect((await after.purse.verify()).ok).toBe(true);
  });
});
