/** So many responses are remembered; then the oldest is forgotten. */
const MAX_REMEMBERED = 10_000;

/** What a later response that builds on this one will read again. */
interface Remembered {
  readonly model: string;
  /** All tokens of the response: its input, and what it wrote. Null until it has ended. */
  readonly tokens: number | null;
}

/**
 * How long the conversations are that went through this process, by the id of their last response.
 * A request that names `previous_response_id` is billed for all of it again, and says nothing of
 * its length. This is the one thing that providers keep between calls: it only ever makes an
 * estimate closer, a response that is not known here is held at the model's whole context window,
 * and what is charged never comes from here.
 * https://developers.openai.com/api/docs/guides/conversation-state
 */
const conversations = new Map<string, Remembered>();

/** Remembers what a response has read and written, under the model's name in its request. */
export function rememberResponse(id: string, model: string, tokens: number | null): void {
  conversations.delete(id);
  conversations.set(id, { model, tokens });
  if (conversations.size <= MAX_REMEMBERED) return;
  const [oldest] = conversations.keys();
  if (oldest !== undefined) conversations.delete(oldest);
}

/**
 * The most tokens of a conversation that ends in a response; null when that is not known, or when
 * another model wrote it, which may count in other tokens.
 */
export function rememberedTokens(id: string, model: string): number | null {
  const known = conversations.get(id);
  return known?.model === model ? known.tokens : null;
}

/** The name that a request gave the model of a response, or null when it is not known here. */
export function rememberedModel(id: string): string | null {
  return conversations.get(id)?.model ?? null;
}
