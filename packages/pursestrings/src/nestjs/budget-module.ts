import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  type InjectionToken,
  Module,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import type { UsageBudget } from '../agents/index.ts';
import {
  type Clock,
  InvalidOptionError,
  type LedgerStore,
  type Limit,
  openPurse,
  type Purse,
} from '../index.ts';
import { BudgetHealthIndicator } from './budget-health.ts';
import { BudgetService, type BudgetSetup } from './budget-service.ts';
import { BudgetGuard } from './requires-budget.ts';
import { BUDGET_OPTIONS, BUDGET_SETUP, configPackage, FALLBACK_CONFIG, PURSE } from './tokens.ts';

/** How the module is imported. */
export interface BudgetModuleOptions {
  /** Numbers of the budget; those not named here are read from the `ConfigService`. */
  readonly budget?: Partial<UsageBudget>;
  /** The purse that the budget counts in. It stays its owner's to close. */
  readonly purse?: Purse;
  /**
   * Where the module opens a purse of its own, and closes it when the application has shut down: a URL,
   * such as `'sqlite:./budget.db'`, or a store. Default: in memory.
   */
  readonly store?: LedgerStore | string;
  /** The name of the ledger inside that store. */
  readonly ledger?: string;
  /** More limits for that purse. */
  readonly limits?: readonly Limit[];
  /** The IANA zone of the calendar day. Default: the process's own. */
  readonly timeZone?: string;
  /** The clock of a ledger that is opened here, for tests. */
  readonly clock?: Clock;
  /** Provides the service to every module. Default `false`. */
  readonly isGlobal?: boolean;
}

/**
 * Makes the options of the module, as a provider that may have others injected.
 *
 * @example
 * ```ts
 * import { BudgetModule, type BudgetModuleOptions, type BudgetOptionsFactory } from 'pursestrings/nestjs';
 *
 * class BudgetSettings implements BudgetOptionsFactory {
 *   createBudgetOptions(): BudgetModuleOptions {
 *     return { budget: { maxConcurrentAgents: 4 } };
 *   }
 * }
 * BudgetModule.forRootAsync({ useClass: BudgetSettings });
 * ```
 */
export interface BudgetOptionsFactory {
  createBudgetOptions(): BudgetModuleOptions | Promise<BudgetModuleOptions>;
}

/** How the module is imported with options that are made later: in one of three ways. */
export interface BudgetModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** What `useFactory` is given. */
  readonly inject?: FactoryProvider['inject'];
  // A factory takes whatever its `inject` names.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly useFactory?: (...parts: any[]) => BudgetModuleOptions | Promise<BudgetModuleOptions>;
  /** A class that makes them, provided by the module itself. */
  readonly useClass?: Type<BudgetOptionsFactory>;
  /** A provider that makes them, of one of the `imports`. */
  readonly useExisting?: InjectionToken<BudgetOptionsFactory>;
  /** Provides the service to every module. Default `false`. */
  readonly isGlobal?: boolean;
}

/**
 * Provides and exports `BudgetService`, `BudgetHealthIndicator`, and the purse (`@InjectPurse()`).
 * Imported bare, it counts in memory and reads `orchestrator.budget.*` from the `ConfigService`.
 *
 * @example
 * ```ts
 * import { Module } from '@nestjs/common';
 * import { ConfigModule } from '@nestjs/config';
 * import { BudgetModule } from 'pursestrings/nestjs';
 *
 * class AppModule {}
 * // Written @Module({ … }) where decorators are compiled.
 * Module({
 *   imports: [ConfigModule.forRoot(), BudgetModule.forRoot({ store: 'memory:' })],
 * })(AppModule);
 * ```
 */
export class BudgetModule {
  /** Imports the module with options. */
  static forRoot(options: BudgetModuleOptions = {}): DynamicModule {
    return BudgetModule.forRootAsync({
      useFactory: () => options,
      ...(options.isGlobal !== undefined && { isGlobal: options.isGlobal }),
    });
  }

  /**
   * Imports the module with options that are made when the application starts.
   *
   * @throws InvalidOptionError when nothing is named that makes them.
   */
  static forRootAsync(options: BudgetModuleAsyncOptions): DynamicModule {
    const { imports = [], isGlobal = false } = options;
    const setup: Provider = {
      provide: BUDGET_SETUP,
      inject: [BUDGET_OPTIONS],
      useFactory: setupOf,
    };
    return {
      module: BudgetModule,
      global: isGlobal,
      imports,
      providers: [...madeBy(options), setup],
    };
  }
}

/** The provider of the options, and of the class that makes them. */
function madeBy({
  inject = [],
  useClass,
  useExisting,
  useFactory,
}: BudgetModuleAsyncOptions): Provider[] {
  if (useFactory !== undefined) return [{ provide: BUDGET_OPTIONS, inject, useFactory }];
  const maker = useExisting ?? useClass;
  if (maker === undefined) {
    throw new InvalidOptionError(
      'forRootAsync() is told of nothing that makes its options; name a useFactory, useClass or useExisting',
    );
  }
  const made: Provider = {
    provide: BUDGET_OPTIONS,
    inject: [maker],
    useFactory: (factory: BudgetOptionsFactory) => factory.createBudgetOptions(),
  };
  return useClass === undefined ? [made] : [useClass, made];
}

/**
 * Injects the purse that the budget counts in.
 *
 * @example
 * ```ts
 * import type { Purse } from 'pursestrings';
 * import { InjectPurse } from 'pursestrings/nestjs';
 *
 * class Models {
 *   readonly purse: Purse;
 *   constructor(purse: Purse) {
 *     this.purse = purse;
 *   }
 * }
 * InjectPurse()(Models, undefined, 0); // written @InjectPurse() before the parameter
 * ```
 */
export function InjectPurse(): ParameterDecorator {
  return Inject(PURSE);
}

/** Knows the configuration for a module that is imported where no `ConfigService` is provided to all. */
class FallbackConfigModule {}

Module(
  configPackage === null
    ? {}
    : {
        imports: [configPackage.ConfigModule],
        providers: [{ provide: FALLBACK_CONFIG, useExisting: configPackage.ConfigService }],
        exports: [FALLBACK_CONFIG],
      },
)(FallbackConfigModule);

Module({
  imports: [FallbackConfigModule],
  providers: [
    BudgetService,
    BudgetHealthIndicator,
    BudgetGuard,
    {
      provide: PURSE,
      inject: [BudgetService],
      useFactory: async (budget: BudgetService) => {
        await budget.ready();
        return budget.purse;
      },
    },
  ],
  exports: [BudgetService, BudgetHealthIndicator, BudgetGuard, PURSE],
})(BudgetModule);

/** Opens what the options name. */
async function setupOf(options: BudgetModuleOptions): Promise<BudgetSetup> {
  const { budget = {}, clock, ledger, limits, purse, store, timeZone } = options;
  const common = {
    config: { get: (key: string) => budget[key.split('.').at(-1) as keyof UsageBudget] },
    ...(timeZone !== undefined && { timeZone }),
    ...(clock !== undefined && { clock }),
  };
  if (purse !== undefined) return { ...common, purse };
  if (store === undefined && ledger === undefined && limits === undefined) return common;
  const opened = await openPurse({
    ...(store !== undefined && { store }),
    ...(ledger !== undefined && { ledger }),
    ...(limits !== undefined && { limits }),
    ...(timeZone !== undefined && { timeZone }),
    ...(clock !== undefined && { clock }),
  });
  return { ...common, purse: opened, close: () => opened.close() };
}
