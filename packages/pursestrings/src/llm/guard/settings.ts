import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { labelSet } from '../../ledger/labels.ts';
import { type GuardPeriod, type PeriodFinder, periodFinder, zoneOf } from './period.ts';
import type { GuardOptions } from './types.ts';

/** What is checked of a guard's options once, when it is made. */
export interface GuardSettings {
  readonly project: string;
  readonly capUsd: number | null;
  readonly period: GuardPeriod;
  readonly timezone: string;
  readonly periodOf: PeriodFinder;
  readonly warns: boolean;
  readonly threshold: number;
}

/** Checks the options of a guard. @throws InvalidOptionError, InvalidLabelError */
export function checkedOptions<Args>(options: GuardOptions<Args>): GuardSettings {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionError(
      `The options of a guard are ${shown(options)}; write { project: 'my-app', dailyCapUSD: 50 }`,
    );
  }
  const { period = 'daily', timezone = 'UTC', onCap = 'block' } = options;
  const zone = zoneOf(timezone);
  oneOf('onCap', onCap, ['block', 'warn']);
  oneOf('onMissingUsage', options.onMissingUsage ?? 'hold', ['hold', 'throw', 'zero']);
  oneOf('provider', options.provider ?? 'openai', ['openai', 'anthropic', 'gemini']);
  checkUnknownModel(options.onUnknownModel ?? 'throw');
  checkStorm(options.retryStormThreshold);
  if (options.purse !== undefined && options.store !== undefined) {
    throw new InvalidOptionError(
      'A guard spends from its `purse` or its `store`; give one of them',
    );
  }
  return {
    project: checkedProject(options.project),
    capUsd: checkedCap(options),
    period,
    timezone: zone,
    periodOf: periodFinder(period, zone),
    warns: onCap === 'warn',
    threshold: checkedThreshold(options.thresholdFraction ?? 0.8),
  };
}

function checkedProject(project: string): string {
  if (typeof project !== 'string' || project === '') {
    throw new InvalidOptionError(
      `project is ${shown(project)}; it must be a name, such as 'my-app'`,
    );
  }
  labelSet({ project });
  return project;
}

function checkedCap<Args>({ dailyCapUSD, purse }: GuardOptions<Args>): number | null {
  if (dailyCapUSD === undefined && purse !== undefined) return null;
  if (typeof dailyCapUSD !== 'number' || Number.isNaN(dailyCapUSD) || dailyCapUSD < 0) {
    throw new InvalidOptionError(
      `dailyCapUSD is ${shown(dailyCapUSD)}; it must be a number of USD from 0`,
    );
  }
  return dailyCapUSD;
}

function checkedThreshold(fraction: number): number {
  if (typeof fraction === 'number' && fraction > 0 && fraction <= 1) return fraction;
  throw new InvalidOptionError(
    `thresholdFraction is ${shown(fraction)}; it must be over 0 and at most 1`,
  );
}

function checkStorm(threshold: number | undefined): void {
  if (threshold === undefined || (Number.isSafeInteger(threshold) && threshold >= 1)) return;
  throw new InvalidOptionError(
    `retryStormThreshold is ${shown(threshold)}; it must be a whole number from 1`,
  );
}

function checkUnknownModel(policy: unknown): void {
  if (typeof policy === 'function' || (typeof policy === 'object' && policy !== null)) return;
  oneOf('onUnknownModel', policy, ['throw', 'zero']);
}

function oneOf(name: string, value: unknown, known: readonly string[]): void {
  if (known.includes(value as string)) return;
  const list = known.map((each) => `'${each}'`).join(' or ');
  throw new InvalidOptionError(`${name} is ${shown(value)}; it must be ${list}`);
}
