import {
  challengeInBody,
  challengeInHeaders,
  type FoundChallenge,
  type StatedPrice,
  statedPrice,
} from './challenge.ts';

/** What a 402 says. */
export interface PaymentRequired {
  readonly found: FoundChallenge;
  readonly price: StatedPrice;
  /** The beginning of its body, and what it says as JSON. */
  readonly text: string;
  readonly json: unknown;
}

/** So much of a body is read, and so long. */
const MAX_BODY_BYTES = 65_536;
const BODY_TIMEOUT_MS = 5_000;

/**
 * Reads what a 402 asks for, in its headers or else in its JSON body. Where it asks for nothing that
 * is understood here, its body can still be read by others.
 *
 * @throws The signal's reason.
 */
export async function readPaymentRequired(
  response: Response,
  signal: AbortSignal | null,
): Promise<PaymentRequired> {
  const inHeaders = challengeInHeaders(response.headers);
  // Others may want the body of an answer that is not for us.
  const source = inHeaders.kind === 'none' ? response.clone() : response;
  const text = await beginningOf(source.body);
  signal?.throwIfAborted();
  const json = parsed(text);
  const inBody = inHeaders.kind === 'found' ? inHeaders : challengeInBody(json);
  const found = inBody.kind === 'none' ? inHeaders : inBody;
  if (found.kind !== 'none' && source !== response) await response.body?.cancel();
  return { found, price: statedPrice(json), text, json };
}

/** Reads the beginning of a body, for a while, and leaves the rest. */
async function beginningOf(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (body === null) return '';
  const reader = body.getReader();
  const timer = setTimeout(() => void reader.cancel().catch(() => undefined), BODY_TIMEOUT_MS);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    while (bytes < MAX_BODY_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      bytes += value.length;
    }
  } catch {
    // A body that breaks off has said what it has said.
  } finally {
    clearTimeout(timer);
    void reader.cancel().catch(() => undefined);
  }
  return Buffer.concat(pieces).subarray(0, MAX_BODY_BYTES).toString();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
