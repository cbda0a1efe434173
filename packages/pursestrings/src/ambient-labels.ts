import { AsyncLocalStorage } from 'node:async_hooks';
import { type Labels, labelSet } from './ledger/labels.ts';

const ambient = new AsyncLocalStorage<Labels>();

/**
 * Sets labels for every spend made inside `work`, however deep and however asynchronous. Inner
 * labels win over outer ones, and labels given at a call win over both.
 *
 * @throws InvalidLabelError for labels that cannot be kept.
 * @example
 * ```ts
 * import { openPurse, withLabels } from 'pursestrings';
 *
 * const purse = await openPurse({ limits: [{ name: 'agent', cap: { usd: 1 }, each: ['agent'] }] });
 * await withLabels({ agent: 'a1' }, async () => {
 *   await purse.charge({ usd: 0.1 }); // counts for a1
 * });
 * ```
 */
export function withLabels<T>(labels: Labels, work: () => T): T {
  return ambient.run({ ...ambient.getStore(), ...labelSet(labels).labels }, work);
}

/** The labels of a call: those that surround it, and over them those given. */
export function labelsAround(labels: Labels | undefined): Labels {
  const around = ambient.getStore();
  if (around === undefined) return labels ?? {};
  if (labels === undefined) return around;
  const given = Object.entries(labels).filter(([, value]) => value !== undefined);
  return { ...around, ...Object.fromEntries(given) };
}
