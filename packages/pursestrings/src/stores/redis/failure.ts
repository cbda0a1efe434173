import { PurseError, StoreError, type StoreErrorCode, type StoreFailure } from '../../errors.ts';

interface Meaning {
  readonly code: StoreErrorCode;
  readonly failure: StoreFailure;
  readonly says: string;
  readonly retryable: boolean;
}

/**
 * What the first word of an error reply means (https://redis.io/docs/latest/develop/reference/protocol-spec/).
 * A server that replies with an error has refused before the first write: scripts read, decide, then write.
 */
const REPLIES: readonly (readonly [RegExp, Meaning])[] = [
  [/\bOOM\b/, refused('full', 'has no memory left (maxmemory); nothing was written. Make room')],
  [
    /\bREADONLY\b|WAIT cannot be used with replica/,
    moment('is a replica; the primary is being sought. Nothing was written'),
  ],
  [/\bLOADING\b/, moment('is loading its data. Nothing was written; try again')],
  [
    /\b(MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY)\b/,
    moment('is not ready. Nothing was written; try again'),
  ],
  [
    /\b(MOVED|ASK)\b/,
    moment('is no longer responsible for the ledger. Nothing was written; try again'),
  ],
  [
    /\bNOREPLICAS\b/,
    moment('has fewer replicas than min-replicas-to-write asks for. Nothing was written'),
  ],
  [
    /\bMISCONF\b/,
    refused('io', 'cannot save to disk and refuses to write. Check its log and its disk'),
  ],
  [
    /\bNOAUTH\b|\bWRONGPASS\b/,
    refused('misconfigured', 'asks for a name and password; give them to the client'),
  ],
  [
    // Within a script, Redis 7.0 says it without its word in capitals.
    /\bNOPERM\b|The user executing the script can't/,
    refused(
      'misconfigured',
      'does not let this user do what a ledger needs; see the ACL in the guide',
    ),
  ],
  [
    /ground \S+ is missing/,
    {
      code: 'STORE_CORRUPT',
      failure: 'corrupt',
      retryable: false,
      says: 'has lost a part of the ledger; restore it from a backup',
    },
  ],
  [
    /\bWRONGTYPE\b/,
    {
      code: 'STORE_CORRUPT',
      failure: 'corrupt',
      retryable: false,
      says: 'holds something else under the keys of the ledger; give the ledger another name',
    },
  ],
];

function refused(failure: StoreFailure, says: string): Meaning {
  return { code: 'STORE_UNAVAILABLE', failure, says, retryable: false };
}

function moment(says: string): Meaning {
  return { code: 'STORE_UNAVAILABLE', failure: 'unreachable', says, retryable: true };
}

/** Whoever speaks so is not set up as a ledger's server, or we asked for what no server does. */
function unexpected(writes: boolean): Meaning {
  return {
    code: writes ? 'OUTCOME_UNKNOWN' : 'STORE_UNAVAILABLE',
    failure: 'misconfigured',
    retryable: false,
    says: 'refused a command of the ledger; see the cause, and the settings of server and client',
  };
}

const UNREACHABLE = moment('cannot be reached. Nothing was written');
const UNOPENED = refused(
  'unreachable',
  'has a client that is not connected; await client.connect() before it is used',
);
const LOST: Meaning = {
  code: 'OUTCOME_UNKNOWN',
  failure: 'unreachable',
  says: 'did not answer: the connection was lost. Ask again with the same id',
  retryable: true,
};

/** Errors of the clients, and of sockets, that come before anything was sent. */
const UNSENT =
  /ClientOfflineError|ConnectionTimeoutError|RootNodesUnavailable|ClusterAllFailed|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|isn't writeable|Failed to refresh slots/;

/**
 * Turns what a client threw into a StoreError. `server`: what it is called; `writes`: something may have been written when the
 * answer was lost; a reading that failed changed nothing.
 */
export function redisFailure(error: unknown, server: string, writes: boolean): unknown {
  if (PurseError.isInstance(error)) return error;
  // A mistake in the program is no lost answer.
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof ReferenceError) {
    return error;
  }
  const meaning = meaningOf(error, writes);
  return new StoreError(meaning.code, meaning.failure, `${server} ${meaning.says}.`, {
    cause: error,
    retryable: meaning.retryable,
  });
}

function meaningOf(error: Error, writes: boolean): Meaning {
  if (isReply(error)) {
    const known = REPLIES.find(([pattern]) => pattern.test(error.message));
    return known?.[1] ?? unexpected(writes);
  }
  const about = `${error.constructor.name} ${'code' in error ? String(error.code) : ''} ${error.message}`;
  if (/ClientClosedError/.test(about)) return UNOPENED;
  return UNSENT.test(about) || !writes ? UNREACHABLE : LOST;
}

/** True for an error that the server replied with: its message begins with a word in capitals. */
function isReply(error: Error): boolean {
  return /^[A-Z]{2,} /.test(error.message) && !('syscall' in error);
}

/** True when the server does not know a script by its hash. */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}
