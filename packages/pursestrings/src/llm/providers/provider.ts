import type { PurseError } from '../../ledger/invalid.ts';
import type { Usage } from '../price.ts';

/** A JSON object, as a request or an answer carries it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True for what JSON calls an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a route does to money: `metered` spends and is understood here; `free` costs nothing. */
export type Route = 'metered' | 'free';

/** What a request says of its cost, read once from its body. */
export interface CallShape {
  readonly model: string;
  readonly streamed: boolean;
  /** The processing tier asked for, or null for the standard one. */
  readonly serviceTier: string | null;
  /** How many answers are asked for: each may be as long as the cap. */
  readonly choices: number;
  /** The request's own cap on the tokens of one answer. */
  readonly outputCap: number | null;
  /** Output that may be billed beyond the caps, such as a predicted output that did not fit. */
  readonly extraOutputTokens: number;
  /** Output may be audio, which has its own rate. */
  readonly outputAudio: boolean;
  readonly webSearches: number;
  /** True when the caller asked for the usage to be streamed, so that it is not hidden from him. */
  readonly usageAsked: boolean;
}

/** A bound on the input of a request. */
export interface InputBound {
  /** All input tokens, audio included. */
  readonly tokens: number;
  readonly audioTokens: number;
  /** Names a part of the input whose size the request does not tell, or null. */
  readonly unbounded: string | null;
}

/** What the meter changes in a request. */
export interface BodyChanges {
  /** A cap on the tokens of one answer to send. */
  readonly outputCap?: number;
  /** Ask for the usage to be streamed. */
  readonly askUsage?: boolean;
}

/** Reads the events of one stream, in order. */
export interface StreamReader {
  /**
   * Reads the data of one event, its characters one byte each; true when the event exists only
   * because the meter asked for it, and the caller is not to see it.
   */
  read(data: string): boolean;
  /** The usage so far, or null. */
  usage(): Usage | null;
  /** True once the answer is complete: nothing that follows costs more. */
  complete(): boolean;
  /** Output tokens that were certainly generated, by what was seen. */
  tokensSeen(): number;
}

/**
 * One wire format of one kind of call: the seam of `meteredFetch`. A provider knows formats, and
 * nothing of money, purses or connections; it is stateless, and each lives in a file of its own.
 */
export interface Provider {
  /** As the charge's `provider` label says it when the price list does not know the host. */
  readonly name: string;
  /**
   * True when the URL's host belongs to this provider: there, a spending route that nothing
   * recognises is refused.
   */
  ownsHost(url: URL): boolean;
  /** What the route does, or null when this provider does not know it. */
  recognise(method: string, url: URL): Route | null;
  /** Reads the request; null when it is not in this format. Some formats say part of it in the URL. */
  readCall(body: JsonObject, url: URL | null): CallShape | null;
  /** A cheap bound on the input tokens; `text` is the body as it will be sent. */
  boundInput(body: JsonObject, shape: CallShape, text: string): InputBound;
  /**
   * A close bound on the input tokens, never under the bill; null when the model's encoding is not
   * known.
   */
  countInput(body: JsonObject, shape: CallShape): Promise<InputBound | null>;
  /** The body with the changes made, and nothing else. */
  rewrite(body: JsonObject, changes: BodyChanges): JsonObject;
  /**
   * Reads the usage of a whole answer, or of its usage object alone; null when there is none, or
   * it cannot be right.
   */
  readUsage(body: unknown): Usage | null;
  openStream(shape: CallShape): StreamReader;
  /**
   * The body that makes this provider's own SDK raise its own error, with everything known of the
   * refusal in it.
   */
  refusalBody(error: PurseError): JsonObject;
}
