/**
 * Something given to the command that cannot be used: an argument, a file or what stands in it.
 * The message names the thing, the value and the remedy; the command ends with status 2.
 */
export class InputError extends Error {
  readonly code: string;

  constructor(message: string, options: { readonly code?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'InputError';
    this.code = options.code ?? 'INVALID_INPUT';
  }
}

/** The text of whatever was thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ').trim();
}
