import { createRequire } from 'node:module';

/** The token of the purse that a module's budget counts in. */
export const PURSE: symbol = Symbol.for('pursestrings.nestjs.purse');

/** The token of what a `BudgetModule` was imported with, opened. */
export const BUDGET_SETUP: symbol = Symbol.for('pursestrings.nestjs.setup');

/** The token of what a `BudgetModule` was imported with. */
export const BUDGET_OPTIONS: symbol = Symbol.for('pursestrings.nestjs.options');

/** The token of the configuration that is used where nobody provides a `ConfigService` to all. */
export const FALLBACK_CONFIG: symbol = Symbol.for('pursestrings.nestjs.config');

/** What of `@nestjs/config` is used, where it is installed. */
interface ConfigPackage {
  readonly ConfigModule: new () => object;
  readonly ConfigService: abstract new (...parts: never[]) => object;
}

/** `@nestjs/config`, an optional peer: without it every key takes its default. */
export const configPackage: ConfigPackage | null = optional('@nestjs/config');

/** The token of Nest's own `ConfigService`; one that nobody provides where that is not installed. */
export const CONFIG_SERVICE: abstract new (...parts: never[]) => object =
  configPackage?.ConfigService ?? class NoConfigService {};

function optional(name: string): ConfigPackage | null {
  try {
    return createRequire(import.meta.url)(name) as ConfigPackage;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND') return null;
    throw error;
  }
}
