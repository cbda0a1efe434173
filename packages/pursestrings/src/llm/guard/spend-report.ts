import { InvalidOptionError, shown } from '../../ledger/invalid.ts';
import { periodKey } from './period.ts';
import { type SpendSource, accountOf } from './accounts.ts';

/**
 * What a project has spent in a day, by feature: `{ chat: 2.41, summarize: 0.88 }`, in USD.
 *
 * @param day `2026-11-22`, or `2026-11` for guards with `period: 'monthly'`. Default: today, UTC.
 * @param store The guards' own: a store, a URL, or a purse. Default: this process's memory.
 * @throws InvalidOptionError for what is no day.
 * @example
 * ```ts
 * import { guard, spendReport } from 'pursestrings/guard';
 *
 * const client = { create: async (_: { model: string }) => ({ usage: { input: 0, output: 100 } }) };
 * const ai = guard(client, { project: 'report', dailyCapUSD: 5 });
 * await ai.create({ model: 'gpt-4o' }, { feature: 'chat' });
 * console.log(await spendReport('report')); // { chat: 0.001 }
 * ```
 */
export async function spendReport(
  project: string,
  day: string = periodKey(new Date()),
  store?: SpendSource,
): Promise<Record<string, number>> {
  return accountOf(store).report(project, checkedDay(day));
}

/**
 * What a project has spent in a day, in USD, without what is held for calls under way.
 *
 * @param store The guards' own. Default: this process's memory.
 * @param day `2026-11-22`, or `2026-11` for guards with `period: 'monthly'`. Default: today, UTC.
 * @throws InvalidOptionError for what is no day.
 */
export async function spentTotal(
  project: string,
  store?: SpendSource,
  day: string = periodKey(new Date()),
): Promise<number> {
  return accountOf(store).total(project, checkedDay(day));
}

function checkedDay(day: string): string {
  const written = /^\d{4}-\d{2}(?:-\d{2})?$/.test(day);
  if (written && !Number.isNaN(Date.parse(day))) return day;
  throw new InvalidOptionError(`day is ${shown(day)}; write one such as '2026-11-22'`);
}
