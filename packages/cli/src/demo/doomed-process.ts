import { openPurse } from 'pursestrings';
import { type DoomedOrders, type DoomedWord, streamLong } from './doomed-agent.ts';
import { DOOMED_HOLD_TTL_MS, PIECES_BEFORE_KILL } from './plan.ts';

/** This process is started by `killMidStream`, streams, and is killed while it does. */
process.once('message', (orders: DoomedOrders) => void streamAndDie(orders));
// A demo that was stopped takes its doomed agent with it.
process.once('disconnect', () => process.exit(1));

async function streamAndDie({ plan, endpoint, store, ledger }: DoomedOrders): Promise<void> {
  try {
    const purse = await openPurse({
      store,
      holdTtlMs: DOOMED_HOLD_TTL_MS,
      ...(ledger !== undefined && { ledger }),
    });
    await streamLong(purse, plan, endpoint, new AbortController().signal, (count) => {
      if (count === 1 || count === PIECES_BEFORE_KILL) tell({ pieces: count });
    });
  } catch (error) {
    tell({ failed: error instanceof Error ? error.message : String(error) });
  }
}

function tell(word: DoomedWord): void {
  process.send?.(word);
}
