/** So many items are remembered; then the oldest is forgotten. */
const MAX_REMEMBERED = 10_000;

/**
 * How long the reasoning is that a provider keeps and that later prompts give by its id only, as
 * far as it came through this process. It makes estimates closer and nothing else: reasoning that is
 * not known here is held at the model's whole context window.
 * https://developers.openai.com/api/docs/guides/reasoning#keeping-reasoning-items-in-context
 */
const tokensOfItem = new Map<string, number>();

/** Remembers that items hold no more than so many tokens each. */
export function rememberItems(ids: Iterable<string>, tokens: number): void {
  for (const id of ids) {
    tokensOfItem.delete(id);
    tokensOfItem.set(id, tokens);
    if (tokensOfItem.size <= MAX_REMEMBERED) continue;
    const [oldest] = tokensOfItem.keys();
    if (oldest !== undefined) tokensOfItem.delete(oldest);
  }
}

/** The most tokens of an item, or null when it is not known. */
export function rememberedItem(id: string): number | null {
  return tokensOfItem.get(id) ?? null;
}
