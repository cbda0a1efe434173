import { PurseError, StoreError, type StoreErrorCode, type StoreFailure } from '../../errors.ts';

interface Meaning {
  readonly code: StoreErrorCode;
  readonly failure: StoreFailure;
  readonly says: string;
  readonly retryable: boolean;
}

/** SQLite's primary result codes (https://www.sqlite.org/rescode.html) and what they mean here. */
const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [
    1,
    {
      code: 'STORE_CORRUPT',
      failure: 'corrupt',
      says: 'does not have the tables that its schema version promises; restore it from a backup',
      retryable: false,
    },
  ],
  [3, unavailable('read_only', 'may not be opened: check its permissions')],
  [
    5,
    unavailable(
      'locked',
      'is locked by another process; nothing was written. Try again, or raise lockTimeoutMs',
      true,
    ),
  ],
  [
    6,
    unavailable('locked', 'is locked by another connection; nothing was written. Try again', true),
  ],
  [
    8,
    unavailable(
      'read_only',
      'is read-only: nothing can be recorded in it. Check the permissions of the file and its directory',
    ),
  ],
  [10, unavailable('io', 'could not be read or written (an I/O error): check the disk')],
  [
    11,
    {
      code: 'STORE_CORRUPT',
      failure: 'corrupt',
      says: 'is corrupt; restore it from a backup',
      retryable: false,
    },
  ],
  [
    13,
    unavailable(
      'full',
      'cannot grow: the disk is full, or maxBytes is reached. Nothing was written; make room',
    ),
  ],
  [
    14,
    unavailable(
      'unreachable',
      'cannot be opened: check that its directory exists and may be written to',
    ),
  ],
  [15, unavailable('locked', 'is too busy; nothing was written. Try again', true)],
  [
    26,
    {
      code: 'STORE_CORRUPT',
      failure: 'corrupt',
      says: 'is not an SQLite database; name another file',
      retryable: false,
    },
  ],
]);

function unavailable(failure: StoreFailure, says: string, retryable = false): Meaning {
  return { code: 'STORE_UNAVAILABLE', failure, says, retryable };
}

/** True when another connection has the lock and the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === 5 || code === 6 || code === 15;
}

/** Turns what SQLite threw into a StoreError that says what is wrong with which file. */
export function storeFailure(error: unknown, path: string): unknown {
  if (PurseError.isInstance(error)) return error;
  const meaning = MEANINGS.get(resultCode(error) ?? -1);
  if (meaning !== undefined) {
    return new StoreError(
      meaning.code,
      meaning.failure,
      `The ledger's file ${path} ${meaning.says}.`,
      {
        cause: error,
        retryable: meaning.retryable,
      },
    );
  }
  // What is written is JSON and whole numbers: a record that is neither was not written here.
  if (error instanceof SyntaxError || isOutOfRange(error)) {
    return new StoreError(
      'STORE_CORRUPT',
      'corrupt',
      `The ledger's file ${path} holds a record that cannot be read.`,
      {
        cause: error,
      },
    );
  }
  return error;
}

/** True when the file may be read and not written. */
export function isReadOnly(error: unknown): boolean {
  return resultCode(error) === 8;
}

/** True for a number in a row that no ledger writes. */
function isOutOfRange(error: unknown): boolean {
  return error instanceof RangeError && 'code' in error && error.code === 'ERR_OUT_OF_RANGE';
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return Number(error.errcode) & 0xff;
}
