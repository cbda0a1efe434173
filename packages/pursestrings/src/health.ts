import { PurseError, StoreError } from './errors.ts';
import { inTime } from './patience.ts';
import type { Health } from './purse-options.ts';
import type { LedgerStore } from './stores/store.ts';

/** What a store says of itself. */
export type StoreHealth = Omit<Health, 'pending'>;

/** Asks a store for its time, once, and not for longer than a probe can wait. */
export async function askHealth(store: LedgerStore, timeoutMs: number): Promise<StoreHealth> {
  const startMs = performance.now();
  try {
    const { nowMs } = await inTime(
      (signal) => store.readBalances({ keys: [] }, signal),
      timeoutMs,
      'STORE_UNAVAILABLE',
    );
    const latencyMs = performance.now() - startMs;
    // It told its time somewhere on the way: in the middle, as far as anybody knows here.
    const clockOffsetMs = Math.round(nowMs - (Date.now() - latencyMs / 2));
    return { ok: true, store: store.name, latencyMs, clockOffsetMs };
  } catch (error) {
    return unhealthy(store, error, performance.now() - startMs);
  }
}

/** What is said of a store that cannot be asked. */
export function unhealthy(store: LedgerStore, error: unknown, latencyMs: number): StoreHealth {
  const code = PurseError.isInstance(error) ? error.code : 'UNEXPECTED';
  const failure = StoreError.isInstance(error) ? error.failure : 'unknown';
  const message = error instanceof Error ? error.message : String(error);
  const described = { code, failure, message };
  return { ok: false, store: store.name, latencyMs, clockOffsetMs: 0, error: described };
}
