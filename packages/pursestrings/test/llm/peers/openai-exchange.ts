import type { ServerResponse } from 'node:http';

import { PIECE_ATTOS } from './openai-bill.ts';
import type { Counts } from './openai-bill.ts';
import { words } from './openai-wire.ts';
import type { Body, PeerAnswer, PeerRequest } from './openai-wire.ts';

/** One request under way. */
export interface Exchange {
  readonly request: PeerRequest;
  readonly answer: PeerAnswer;
  readonly outgoing: ServerResponse;
  /** Enters a call into the bill. */
  bill(model: string, counts: Counts, moreAttos?: bigint): void;
  readonly stored: Map<string, StoredResponse>;
}

/** A response in the background. */
export interface StoredResponse {
  readonly body: Body;
  readonly answer: PeerAnswer;
  response: Record<string, unknown>;
}

/** Words of a body; what a real tokenizer makes of them is never less. */
export function inputTokens({ body }: PeerRequest, answer: PeerAnswer): number {
  if (answer.inputTokens !== undefined) return answer.inputTokens;
  const said = [body.instructions, body.input, body.prompt].filter((each) => each !== undefined);
  return said.reduce<number>((sum, each) => sum + words(JSON.stringify(each)).length, 0);
}

/** The disjoint kinds of a response's tokens, and its searches. */
export function billResponse(
  bill: Exchange['bill'],
  { request, answer }: Pick<Exchange, 'request' | 'answer'>,
  output: number,
): { input: number; output: number } {
  const input = inputTokens(request, answer);
  const written = output + (answer.reasoningTokens ?? 0);
  const tier = answer.serviceTier;
  const own =
    tier === undefined || tier === 'default' ? '' : ` ${tier === 'fast' ? 'priority' : tier}`;
  const items = JSON.stringify(answer.items ?? []);
  const searches = items.match(/"type":"search"/g)?.length ?? 0;
  const files = items.match(/"type":"file_search_call"/g)?.length ?? 0;
  const counts = {
    input,
    output: written,
    ...(answer.cachedTokens === undefined ? {} : { cached: answer.cachedTokens }),
    ...(answer.cacheWriteTokens === undefined ? {} : { cacheWrite: answer.cacheWriteTokens }),
  };
  const more = BigInt(searches) * PIECE_ATTOS.search + BigInt(files) * PIECE_ATTOS.fileSearch;
  bill(`${String(request.body.model)}${own}`, counts, more);
  return { input, output: written };
}
