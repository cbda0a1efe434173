import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import {
  type BudgetConfig,
  BudgetService as Service,
  type BudgetServiceOptions,
} from '../agents/index.ts';
import { BUDGET_SETUP, CONFIG_SERVICE, FALLBACK_CONFIG } from './tokens.ts';

/** What a service is made with by the module: its options, and what goes with its purse. */
export interface BudgetSetup extends BudgetServiceOptions {
  /** Where keys are looked up before the `ConfigService` is asked. */
  readonly config?: BudgetConfig;
  /** Closes what the module opened. */
  readonly close?: () => Promise<void>;
}

const LOGGER = 'BudgetService';

/**
 * The service of `pursestrings/agents`, injectable. It reads `orchestrator.budget.*` from the
 * `ConfigService` that is provided beside it or to all modules; without one every key takes its default.
 * It waits for its ledger when the application starts, and closes when the application has shut down.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { BudgetService } from 'pursestrings/nestjs';
 *
 * class Orchestrator {
 *   readonly budget: BudgetService;
 *   constructor(budget: BudgetService) {
 *     this.budget = budget;
 *   }
 *   async run(agentId: string): Promise<string> {
 *     const spawned = await this.budget.trySpawn({ agentId });
 *     if (!spawned.allowed) return spawned.reason;
 *     await using slot = spawned.slot;
 *     return slot.run(async () => `${slot.agent} is done`);
 *   }
 * }
 * Injectable()(Orchestrator); // written @Injectable() where decorators are compiled
 * ```
 */
export class BudgetService extends Service implements OnModuleInit, OnApplicationShutdown {
  readonly #setup: BudgetSetup;

  /**
   * @param config Nest's `ConfigService`, or anything with `get(key)`.
   * @param setup What the module was imported with.
   * @param fallback The configuration where no `ConfigService` is provided.
   */
  constructor(config?: BudgetConfig, setup?: BudgetSetup, fallback?: BudgetConfig) {
    super(layered([setup?.config, config ?? fallback]), {
      warn: (message) => new Logger(LOGGER).warn(message),
      ...setup,
      deferred: true,
    });
    this.#setup = setup ?? {};
  }

  async onModuleInit(): Promise<void> {
    await this.ready();
  }

  async onApplicationShutdown(): Promise<void> {
    try {
      await this.close();
    } finally {
      await this.#setup.close?.();
    }
  }
}

/** Looks a key up where it is known first. */
function layered(configs: readonly (BudgetConfig | undefined)[]): BudgetConfig {
  return {
    get: (key) => {
      for (const config of configs) {
        const value: unknown = config?.get(key);
        if (value !== undefined && value !== null) return value;
      }
      return undefined;
    },
  };
}

// Decorators as functions: this package is compiled by erasing types, and nothing else.
Injectable()(BudgetService);
injected(CONFIG_SERVICE, 0);
injected(BUDGET_SETUP, 1);
injected(FALLBACK_CONFIG, 2);

function injected(token: Parameters<typeof Inject>[0], index: number): void {
  Optional()(BudgetService, undefined, index);
  Inject(token)(BudgetService, undefined, index);
}
