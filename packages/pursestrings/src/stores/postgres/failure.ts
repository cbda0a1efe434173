import { PurseError, StoreError, type StoreErrorCode, type StoreFailure } from '../../errors.ts';
import { NotSent } from './connection.ts';

/** What a failure was met at: a batch may have been written, a reading was not. */
export type Asked = 'write' | 'read';

interface Meaning {
  readonly code: StoreErrorCode;
  readonly failure: StoreFailure;
  readonly says: string;
  readonly retryable: boolean;
}

/**
 * What the server's refusals mean, by SQLSTATE or its class:
 * https://www.postgresql.org/docs/15/errcodes-appendix.html
 */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['25006', unavailable('read_only', 'is read-only, as a standby is; nothing was written', true)],
  ['28', unavailable('misconfigured', 'refuses the login: check user and password')],
  ['3D000', unavailable('misconfigured', 'has no database of that name: check the URL')],
  ['42704', unavailable('misconfigured', 'knows no role of that name: create it first')],
  [
    '42501',
    unavailable(
      'read_only',
      'denies this role that right: the policy is changed by the owner of the schema (see the guide on Postgres)',
    ),
  ],
  ['40', unavailable('contended', 'gave up on a collision; nothing was written. Try again', true)],
  [
    '23505',
    unavailable('contended', 'gave up on a collision; nothing was written. Try again', true),
  ],
  ['53', unavailable('overloaded', 'is out of connections or memory; nothing was written', true)],
  ['53100', unavailable('full', 'has a full disk; nothing was written. Make room', true)],
  ['55P03', unavailable('locked', 'did not get its locks in time; nothing was written', true)],
  [
    '57014',
    unavailable('locked', 'cancelled the statement after a timeout; nothing was written', true),
  ],
  [
    '57P03',
    unavailable('unreachable', 'is starting up or shutting down; nothing was written', true),
  ],
  ['58', unavailable('io', 'had an I/O error: check its log')],
  ['XX001', corrupt('holds a corrupt page; restore it from a backup')],
  ['XX002', corrupt('holds a corrupt index; restore it from a backup')],
]);

/** A refused statement has written nothing, whatever it was refused for. */
const UNEXPECTED = unavailable('misconfigured', 'refused a statement; nothing was written');

function unavailable(failure: StoreFailure, says: string, retryable = false): Meaning {
  return { code: 'STORE_UNAVAILABLE', failure, says, retryable };
}

function corrupt(says: string): Meaning {
  return { code: 'STORE_CORRUPT', failure: 'corrupt', says, retryable: false };
}

/** The server ended the connection, perhaps after it had committed. */
const CUT_OFF: ReadonlySet<string> = new Set([
  '57P01',
  '57P02',
  '57P05',
  '08003',
  '08006',
  '08007',
]);

/** Client errors that come before anything was sent. */
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'CONNECT_TIMEOUT',
  'CONNECTION_ENDED',
]);

/** What a client throws when the answer is lost. */
const LOST: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_STREAM_DESTROYED',
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'ABORT_ERR',
]);

/** The SQLSTATE of a refusal, or a client's own code; empty when there is none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/**
 * True when two batches got into each other's way and the one that gave up may be asked again, with
 * care: both were first under a key, or they waited for each other.
 */
export function isCollision(error: unknown): boolean {
  const code = codeOf(error);
  return code === '23505' || code === '40001' || code === '40P01';
}

/** True when what is asked for is not there: the schema, a table or a function. */
export function isUnmigrated(error: unknown): boolean {
  return ['3F000', '42P01', '42883'].includes(codeOf(error));
}

/** Turns what a client threw into a StoreError that says whether something was written. */
export function storeFailure(error: unknown, asked: Asked): unknown {
  if (PurseError.isInstance(error)) return error;
  if (error instanceof NotSent) return notSent(error.cause);
  const code = codeOf(error);
  if (isSqlState(error, code)) return storeError(meaningOf(code) ?? UNEXPECTED, error);
  if (CUT_OFF.has(code) || LOST.has(code) || isLostConnection(error)) return lost(error, asked);
  if (NEVER_SENT.has(code)) return notSent(error);
  return error;
}

function notSent(cause: unknown): unknown {
  const code = codeOf(cause);
  const meaning = isSqlState(cause, code) ? meaningOf(code) : undefined;
  return storeError(
    meaning ?? unavailable('unreachable', 'cannot be reached; nothing was written', true),
    cause,
  );
}

function lost(error: unknown, asked: Asked): StoreError {
  const says = 'was lost while it was asked';
  return asked === 'read'
    ? storeError(unavailable('unreachable', says, true), error)
    : storeError(
        {
          code: 'OUTCOME_UNKNOWN',
          failure: 'unreachable',
          says: `${says}: the operation may have happened; ask again with its id`,
          retryable: true,
        },
        error,
      );
}

function storeError({ code, failure, says, retryable }: Meaning, cause: unknown): StoreError {
  const detail = cause instanceof Error && cause.message !== '' ? ` (${cause.message})` : '';
  return new StoreError(code, failure, `Postgres ${says}${detail}.`, { cause, retryable });
}

function meaningOf(code: string): Meaning | undefined {
  return MEANINGS.get(code) ?? MEANINGS.get(code.slice(0, 2));
}

/** Both clients hand the server's fields on, its severity among them. */
function isSqlState(error: unknown, code: string): boolean {
  return code.length === 5 && error instanceof Error && 'severity' in error && !CUT_OFF.has(code);
}

/** pg has no codes for these: https://github.com/brianc/node-postgres/blob/master/packages/pg/lib/client.js */
function isLostConnection(error: unknown): boolean {
  return (
    error instanceof Error &&
    /Connection terminated|Client has encountered a connection error|Query read timeout|not queryable/.test(
      error.message,
    )
  );
}
