import { AsyncLocalStorage } from 'node:async_hooks';
import { type Labels, labelSet } from './ledger/labels.ts';
import type { Share } from './share.ts';

/** Whose spends those are that are made inside some work. */
export interface Surroundings {
  readonly labels: Labels;
  /** The labels of the agent whose work this is, if it is one's. */
  readonly agent?: Labels;
  /** The labels of the agents who started it inside their work: what it spends counts for them too. */
  readonly ancestors: readonly Labels[];
  /** The money that the work spends from; none where it spends from the purse as anybody does. */
  readonly share?: Share;
  /** Once it is aborted the work may hold no more money. */
  readonly signal?: AbortSignal;
}

const NOBODY: readonly never[] = [];
/** What surrounds a call that is made outside of everything. */
export const NOWHERE: Surroundings = { labels: {}, ancestors: NOBODY };
const ambient = new AsyncLocalStorage<Surroundings>();

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
  const around = surroundings();
  return within({ ...around, labels: { ...around.labels, ...labelSet(labels).labels } }, work);
}

/** What surrounds the call that is being made. */
export function surroundings(): Surroundings {
  return ambient.getStore() ?? NOWHERE;
}

/** Surrounds some work. */
export function within<T>(around: Surroundings, work: () => T): T {
  return ambient.run(around, work);
}

/** The labels of a call: those that surround it, and over them those given. */
export function labelsAround(labels: Labels | undefined): Labels {
  const around = ambient.getStore()?.labels;
  if (around === undefined) return labels ?? {};
  if (labels === undefined) return around;
  const given = Object.entries(labels).filter(([, value]) => value !== undefined);
  return { ...around, ...Object.fromEntries(given) };
}
