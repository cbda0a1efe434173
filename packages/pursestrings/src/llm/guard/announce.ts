/**
 * Tells a callback of an event. A callback that throws, now or later, harms no call: its error
 * becomes a process warning.
 */
export function announce(name: string, tell: () => unknown): void {
  try {
    Promise.resolve(tell()).catch((error: unknown) => failed(name, error));
  } catch (error) {
    failed(name, error);
  }
}

/** Warns of something that no caller can be told of. */
export function warnOf(message: string, code: string): void {
  process.emitWarning(message, { type: 'PurseWarning', code });
}

function failed(name: string, error: unknown): void {
  warnOf(`The callback ${name} of a guard threw (${reasonOf(error)})`, 'PURSE_CALLBACK_FAILED');
}

/** What an error says, whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
