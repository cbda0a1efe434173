import type { PurseError } from '../../ledger/invalid.ts';
import type { CacheWrites } from '../prices/price.ts';
import type { Pieces, Usage } from '../usage.ts';

/** A JSON object, as a request or an answer carries it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True for what JSON calls an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * What a route does to money: `metered` spends and is understood here; `free` costs nothing;
 * `result` costs nothing either, but its answer says what work begun by an earlier call has cost.
 */
export type Route = 'metered' | 'free' | 'result';

/** What a request says of its cost, read once from its body. */
export interface CallShape {
  readonly model: string;
  /** Other models that the provider may answer with, and bill. */
  readonly alternatives: readonly string[];
  readonly streamed: boolean;
  /** The processing tier asked for, or null for the standard one. */
  readonly serviceTier: string | null;
  /** How many answers are asked for: each may be as long as the cap. */
  readonly choices: number;
  /** The request's own cap on the tokens of one answer, or what its format bounds them by. */
  readonly outputCap: number | null;
  /** The cap can be written into the request. */
  readonly cappable: boolean;
  /** Output that may be billed beyond the caps, such as a predicted output that did not fit. */
  readonly extraOutputTokens: number;
  /** Output may be audio or images, which have their own rates. */
  readonly outputAudio: boolean;
  readonly outputImage: boolean;
  /** Input may hold images or video, which have their own rates. */
  readonly inputMedia: boolean;
  readonly cacheWrites: CacheWrites;
  /**
   * The most that may be billed by the piece, such as `{ web_searches: 1 }`. It is what is billed,
   * too, where the answer does not say.
   */
  readonly pieces: Pieces;
  /** True when the caller asked for the usage to be streamed, so that it is not hidden from him. */
  readonly usageAsked: boolean;
  /** What a successful call uses, where the request alone says so. */
  readonly fixedUsage: Usage | null;
  /** The calls that a batch is made of. */
  readonly parts: readonly CallPart[];
}

/** One call of a batch. */
export interface CallPart {
  readonly body: JsonObject;
  readonly shape: CallShape;
}

const PLAIN: Omit<CallShape, 'model'> = {
  alternatives: [],
  streamed: false,
  serviceTier: null,
  choices: 1,
  outputCap: null,
  cappable: true,
  extraOutputTokens: 0,
  outputAudio: false,
  outputImage: false,
  inputMedia: false,
  cacheWrites: '5m',
  pieces: {},
  usageAsked: false,
  fixedUsage: null,
  parts: [],
};

/** The shape of a plain call, but for what is said here. */
export function callShape(
  said: Pick<CallShape, 'model'> & Partial<Omit<CallShape, 'model'>>,
): CallShape {
  return { ...PLAIN, ...said };
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
   * Reads the data of one event, its characters one byte each where the stream is text; true when
   * the event exists only because the meter asked for it, and the caller is not to see it.
   */
  read(data: string): boolean;
  /** The usage so far, or null. */
  usage(): Usage | null;
  /** True once the answer is complete: nothing that follows costs more. */
  complete(): boolean;
  /** Output tokens that were certainly generated, by what was seen. */
  tokensSeen(): number;
  /** The name that the answer gives its model, or null. Prices never go by it. */
  answeredBy?(): string | null;
  /** The id of work that goes on when this stream is left, or null. */
  workId?(): string | null;
}

/** Takes the text that a stream generates, piece by piece; null when nobody wants it. */
export type OnText = ((text: string) => void) | null;

/** Work that one call begins and that goes on after its answer, such as a batch. */
export interface Work {
  /** The id under which work goes on after this answer; null when it is done. */
  begunBy(answer: unknown, shape: CallShape): string | null;
  /** The id of the work whose result a route reads, or null. */
  resultOf(method: string, url: URL): string | null;
  /** Reads a result; `used` is told what each call of the work used. */
  openResult(used: (model: string, usage: Usage) => void): ResultReader;
}

/** Reads the result of work: a whole JSON body, each line of one, or each event of a stream. */
export interface ResultReader {
  read(data: string): void;
  /**
   * `pending`: not done yet, or it does not say. `done`: all that was used has been told. `free`:
   * nothing is billed. `unknown`: it is done, but not what it used.
   */
  outcome(ended: boolean): 'pending' | 'done' | 'free' | 'unknown';
}

/**
 * One wire format of one kind of call: the seam of `meteredFetch`. A provider knows formats, and
 * nothing of money, purses or connections; it is stateless, and each lives in a file of its own.
 */
export interface Provider {
  /** As the charge's `provider` label says it when neither the host nor the price list does. */
  readonly name: string;
  /** What the route does, or null when this provider does not know it. */
  recognise(method: string, url: URL): Route | null;
  /**
   * Reads the request; null when it is not in this format. Some formats say part of it in the URL;
   * without one, only a body that can be nothing else is read. A form is given as an object of its
   * fields, its files as `FormFile`s.
   */
  readCall(body: JsonObject, url: URL | null): CallShape | null;
  /** A cheap bound on the input tokens; `text` is the body as it will be sent. */
  boundInput(body: JsonObject, shape: CallShape, text: string): InputBound;
  /**
   * A close bound on the input tokens, never under the bill; null when the model's encoding is not
   * known.
   */
  countInput(body: JsonObject, shape: CallShape): Promise<InputBound | null>;
  /** The body with the changes made, and nothing else. */
  rewrite(body: JsonObject, changes: BodyChanges, url: URL | null): JsonObject;
  /**
   * Reads the usage of a whole answer, or of its usage object alone; null when there is none, or
   * it cannot be right.
   */
  readUsage(body: unknown, shape: CallShape | null): Usage | null;
  /** The name that a whole answer gives its model, or null. Prices never go by it. */
  answeredBy?(body: unknown): string | null;
  /** True when a stream reports its usage only where the request asks for it. */
  readonly asksUsage: boolean;
  openStream(shape: CallShape, onText: OnText): StreamReader;
  readonly work?: Work;
  /**
   * The body that makes this provider's own SDK raise its own error, with everything known of the
   * refusal in it.
   */
  refusalBody(error: PurseError): JsonObject;
  /** Headers that this provider's SDK wants beside it. */
  refusalHeaders?(error: PurseError): Readonly<Record<string, string>>;
}

/** A file in a form, as a provider sees it. */
export class FormFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: number;

  constructor(name: string, type: string, bytes: number) {
    this.name = name;
    this.type = type;
    this.bytes = bytes;
  }
}
