import { AsyncLocalStorage } from 'node:async_hooks';

import type { Purse } from '../purse.ts';

/** A call whose money the middleware holds, while its model is at work. */
interface HeldAround {
  readonly purse: Purse;
  readonly model: string;
  /** A hold stands for one call: another one inside is metered by itself. */
  open: boolean;
  readonly outer: HeldAround | undefined;
}

const around = new AsyncLocalStorage<HeldAround>();

/** Purses that were warned about: once each. */
const warned = new WeakSet<Purse>();

/** Lets a model work under a hold that its call has in a purse. */
export async function heldAround<T>(
  purse: Purse,
  model: string,
  work: () => PromiseLike<T>,
): Promise<T> {
  const held: HeldAround = { purse, model, open: true, outer: around.getStore() };
  try {
    return await around.run(held, work);
  } finally {
    // What the model leaves running is no part of its answer.
    held.open = false;
  }
}

/** The hold that a call is under already. */
export interface Cover {
  /** The call came to nothing, so the hold stands for its next try. */
  giveBack(): void;
}

/**
 * Takes the hold that surrounds a call of the same model in the same purse: such a call is metered
 * twice, by the middleware and by its fetch, and the middleware charges it. Null where there is
 * none, or where it stands for a call already. Warns once for each purse.
 */
export function coverOf(purse: Purse, model: string): Cover | null {
  let held = around.getStore();
  while (held !== undefined && !(held.open && held.purse === purse && held.model === model)) {
    held = held.outer;
  }
  if (held === undefined) return null;
  held.open = false;
  if (!warned.has(purse)) {
    warned.add(purse);
    warn(model);
  }
  const taken = held;
  return { giveBack: () => (taken.open = true) };
}

function warn(model: string): void {
  process.emitWarning(
    `The model ${JSON.stringify(model)} has both purseMiddleware and a metered fetch of the same ` +
      'purse; the middleware alone holds and charges its calls. Give it one of the two',
    { type: 'PurseWarning', code: 'PURSE_METERED_TWICE' },
  );
}
