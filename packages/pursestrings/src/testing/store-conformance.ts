import { AGREEMENT_CASES } from './conformance/agreement.ts';
import { ADMISSION_CASES } from './conformance/admission.ts';
import type { ConformanceCase, MakeStore } from './conformance/case.ts';
import { MOVING_CASES } from './conformance/moving.ts';
import { NOTE_CASES } from './conformance/notes.ts';
import { POLICY_CASES } from './conformance/policy.ts';
import { READING_CASES } from './conformance/reading.ts';
import { RENAMING_CASES } from './conformance/renaming.ts';
import { RESOLUTION_CASES } from './conformance/resolution.ts';

/** What the suite needs of its surroundings. */
export interface StoreConformanceOptions {
  /** Registers a test: vitest's `test`, `node:test`'s, or any of that shape. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Makes an empty store that goes by the clock it is given. The suite closes it. */
  readonly makeStore: MakeStore;
}

/** Every promise of a store, each as a case of its own. */
const CASES: readonly ConformanceCase[] = [
  ...ADMISSION_CASES,
  ...RESOLUTION_CASES,
  ...RENAMING_CASES,
  ...POLICY_CASES,
  ...READING_CASES,
  ...MOVING_CASES,
  ...NOTE_CASES,
  ...AGREEMENT_CASES,
];

/**
 * Registers the tests that every store must pass: there are no switches. A store that passes keeps
 * the ledger's rules, as far as tests can tell.
 *
 * @example
 * ```ts
 * import { test } from 'node:test';
 * import { memory } from 'pursestrings/stores/memory';
 * import { storeConformance } from 'pursestrings/testing';
 *
 * storeConformance({ test, makeStore: ({ clock }) => memory({ clock }) });
 * ```
 */
export function storeConformance({ test, makeStore }: StoreConformanceOptions): void {
  for (const { name, run } of CASES) {
    test(name, async () => {
      await run(makeStore);
    });
  }
}
