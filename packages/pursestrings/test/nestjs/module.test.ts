import { Global, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { openPurse, type Purse, StoreError } from '../../src/index.ts';
import {
  BudgetHealthIndicator,
  BudgetModule,
  type BudgetModuleOptions,
  type BudgetOptionsFactory,
  BudgetService,
  DEFAULT_BUDGET,
  PURSE,
} from '../../src/nestjs/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { manualClock } from '../../src/testing/index.ts';
import { Line, remoteStore } from '../purse/remote-store.ts';
import { makePurse, openFile, tempFile } from '../stores/fixture.ts';
import { configOf } from '../agents/budget-fixture.ts';

type ModuleSpec = Parameters<typeof Test.createTestingModule>[0];

/** An application of these parts, which is closed with the test. */
async function open(spec: ModuleSpec): Promise<INestApplicationContext> {
  const compiled = await Test.createTestingModule(spec).compile();
  await compiled.init();
  onTestFinished(() => compiled.close());
  return compiled;
}

const load = [
  () => ({ orchestrator: { budget: { dailyTokenLimit: 77, maxConcurrentAgents: 1 } } }),
];
const CONFIGURED = { ...DEFAULT_BUDGET, dailyTokenLimit: 77, maxConcurrentAgents: 1 };

describe('the configuration', () => {
  it('is read by a module that is imported bare', async () => {
    const root = ConfigModule.forRoot({ load, ignoreEnvFile: true });
    const app = await open({ imports: [root, BudgetModule] });
    expect(app.get(BudgetService).getBudget()).toEqual(CONFIGURED);
  });

  it('is read from a ConfigService that is global, and from one that loads late', async () => {
    const late = [async () => (await new Promise(setImmediate), load[0]?.())];
    const root = ConfigModule.forRoot({ load: late, ignoreEnvFile: true, isGlobal: true });
    const app = await open({ imports: [BudgetModule, root] });
    expect(app.get(BudgetService).getBudget()).toEqual(CONFIGURED);
  });

  it('is read from a ConfigService that is provided by value beside the service', async () => {
    const useValue = configOf({ dailyTokenLimit: 5 });
    const providers = [BudgetService, { provide: ConfigService, useValue }];
    const app = await open({ providers });
    const service = app.get(BudgetService);
    expect(service.getBudget().dailyTokenLimit).toBe(5);
    service.recordUsage('a', 't', 3, 2);
    expect(service.canSpawnAgent().reason).toBe('Daily token budget exceeded (5/5)');
  });

  it('is read from a ConfigService that is provided by value to all', async () => {
    class ValuesModule {}
    const value = { provide: ConfigService, useValue: configOf({ dailyTokenLimit: 6 }) };
    Module({ providers: [value], exports: [ConfigService] })(ValuesModule);
    Global()(ValuesModule);
    const app = await open({ imports: [BudgetModule, ValuesModule] });
    expect(app.get(BudgetService).getBudget().dailyTokenLimit).toBe(6);
  });

  it('takes every default where there is none', async () => {
    expect((await open({ providers: [BudgetService] })).get(BudgetService).getBudget()).toEqual(
      DEFAULT_BUDGET,
    );
    expect((await open({ imports: [BudgetModule] })).get(BudgetService).getBudget()).toEqual(
      DEFAULT_BUDGET,
    );
  });

  it('takes every default where @nestjs/config is not installed', async () => {
    vi.resetModules();
    vi.doMock('node:module', () => ({
      createRequire: () => () => {
        throw Object.assign(new Error('not installed'), { code: 'MODULE_NOT_FOUND' });
      },
    }));
    onTestFinished(() => {
      vi.doUnmock('node:module');
      vi.resetModules();
    });
    const alone = await import('../../src/nestjs/index.ts');
    const app = await open({ imports: [alone.BudgetModule as Type] });
    expect(app.get(alone.BudgetService).getBudget()).toEqual(DEFAULT_BUDGET);
  });

  it('gives way to numbers that the module is imported with', async () => {
    const root = ConfigModule.forRoot({ load, ignoreEnvFile: true });
    const budget = { dailyTokenLimit: 5, enforceHardLimits: false };
    const app = await open({ imports: [root, BudgetModule.forRoot({ budget })] });
    expect(app.get(BudgetService).getBudget()).toEqual({ ...CONFIGURED, ...budget });
  });

  it('that cannot be meant stops the application from starting', async () => {
    const useValue = configOf({ dailyTokenLimit: 'lots' });
    const providers = [BudgetService, { provide: ConfigService, useValue }];
    await expect(open({ providers })).rejects.toThrow(
      'orchestrator.budget.dailyTokenLimit is "lots"',
    );
  });
});

describe('the purse', () => {
  it('is opened by the module from a URL, and closed with the application', async () => {
    const path = await tempFile();
    const clock = manualClock('2026-05-01T12:00:00Z');
    const spec = (): ModuleSpec => ({
      imports: [BudgetModule.forRoot({ store: `sqlite:${path}`, clock, timeZone: 'Asia/Tokyo' })],
    });
    const before = await open(spec());
    before.get(BudgetService).recordUsage('a', 't', 10, 5);
    const purse = before.get<Purse>(PURSE);
    await before.close();
    await expect(purse.check({ tokens: 1 })).rejects.toThrow(StoreError);

    clock.set('2026-05-01T14:00:00Z');
    const after = (await open(spec())).get(BudgetService);
    expect(after.getUsageSummary()).toMatchObject({
      dailyTokensUsed: 15,
      agentUsage: [{ agentId: 'a', inputTokens: 10, outputTokens: 5 }],
    });
    clock.set('2026-05-01T15:00:00Z');
    expect(after.getUsageSummary().dailyTokensUsed).toBe(0);
  });

  it('that was given stays open', async () => {
    const purse = await makePurse({ store: openFile(await tempFile()) });
    const app = await open({ imports: [BudgetModule.forRoot({ purse })] });
    app.get(BudgetService).agentStarted();
    expect(app.get(PURSE)).toBe(purse);
    await app.close();
    expect(await purse.check({ slots: 10 })).toMatchObject({ allowed: true });
  });

  it('comes from a class that makes the options, of its own or of another module', async () => {
    class Settings implements BudgetOptionsFactory {
      readonly config: ConfigService;
      constructor(config: ConfigService) {
        this.config = config;
      }
      async createBudgetOptions(): Promise<BudgetModuleOptions> {
        const daily = this.config.getOrThrow<number>('orchestrator.budget.dailyTokenLimit');
        return { budget: { dailyTokenLimit: daily + 1 } };
      }
    }
    Reflect.defineMetadata('design:paramtypes', [ConfigService], Settings);
    const config = ConfigModule.forRoot({ load, ignoreEnvFile: true });
    const own = BudgetModule.forRootAsync({ imports: [config], useClass: Settings });
    const first = await open({ imports: [own] });
    expect(first.get(BudgetService).getBudget().dailyTokenLimit).toBe(78);
    class SettingsModule {}
    Module({ imports: [config], providers: [Settings], exports: [Settings] })(SettingsModule);
    const other = BudgetModule.forRootAsync({ imports: [SettingsModule], useExisting: Settings });
    const second = await open({ imports: [other] });
    expect(second.get(BudgetService).getBudget().dailyTokenLimit).toBe(78);
    expect(() => BudgetModule.forRootAsync({})).toThrow(/name a useFactory, useClass/);
  });

  it('comes from a factory that is injected, with a store that was opened elsewhere', async () => {
    const store = memory();
    const root = ConfigModule.forRoot({ load, ignoreEnvFile: true });
    const later = BudgetModule.forRootAsync({
      imports: [root],
      inject: [ConfigService],
      isGlobal: true,
      useFactory: async (config: ConfigService) => {
        const daily = config.getOrThrow<number>('orchestrator.budget.dailyTokenLimit');
        return {
          store,
          budget: { dailyTokenLimit: daily + 1 },
          limits: [{ name: 'usd', cap: { usd: 1 } }],
        };
      },
    });
    class FeatureModule {}
    class Feature {
      readonly budget: BudgetService;
      constructor(budget: BudgetService) {
        this.budget = budget;
      }
    }
    Reflect.defineMetadata('design:paramtypes', [BudgetService], Feature);
    Module({ providers: [Feature], exports: [Feature] })(FeatureModule);
    const app = await open({ imports: [later, FeatureModule] });
    const { budget } = app.get(Feature, { strict: false });
    expect(budget.getBudget().dailyTokenLimit).toBe(78);
    expect((await budget.purse.check({ usd: 2 })).allowed).toBe(false);
    await app.close();
    await expect(store.readPolicy()).resolves.toMatchObject({ revision: 2 });
  });

  it('is waited for where it is reached over a network', async () => {
    const store = remoteStore(memory(), new Line());
    const app = await open({ imports: [BudgetModule.forRoot({ store })] });
    expect(app.get(BudgetService).canSpawnAgent()).toEqual({ allowed: true });
  });
});

describe('the health indicator', () => {
  it('is down when the ledger does not answer, and up when the budget is used up', async () => {
    const line = new Line();
    const purse = await openPurse({ store: remoteStore(memory(), line), retryForMs: 0 });
    onTestFinished(() => purse.close());
    const budget = { dailyTokenLimit: 0 };
    const app = await open({ imports: [BudgetModule.forRoot({ purse, budget })] });
    const indicator = app.get(BudgetHealthIndicator);
    expect(await indicator.isHealthy('budget')).toMatchObject({
      budget: { status: 'up', store: 'remote memory', budgetStatus: 'exceeded' },
    });
    line.fate = () => 'refused';
    expect(await indicator.isHealthy('budget')).toMatchObject({
      budget: { status: 'down', message: expect.stringContaining('refused') as string },
    });
    line.fate = () => 'arrives';
  });
});
