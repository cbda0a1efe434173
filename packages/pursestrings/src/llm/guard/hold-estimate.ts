import { InvalidOptionError } from '../../ledger/invalid.ts';
import { estimateCall } from '../cost.ts';
import { isObject } from '../providers/provider.ts';
import type { KnownPrice } from './prices.ts';

/** The most that a call is expected to use and cost. */
export interface HoldEstimate {
  readonly usd: number;
  readonly tokens: number;
}

/**
 * Estimates a call by its request: its input, and its own output cap, else the most its model
 * writes. A request in no known format is read as one message. Null when nothing bounds the call.
 *
 * @throws PriceUnknownError when the price lacks something that the call may use.
 */
export async function estimateRequest(
  args: object,
  model: string,
  { sources }: KnownPrice,
): Promise<HoldEstimate | null> {
  return (await tryEstimate(args, sources)) ?? tryEstimate(asMessage(args, model), sources);
}

async function tryEstimate(
  request: object | null,
  sources: KnownPrice['sources'],
): Promise<HoldEstimate | null> {
  if (request === null) return null;
  try {
    const { usd, tokens } = await estimateCall(request, sources);
    return { usd, tokens };
  } catch (error) {
    // A TypeError: the request refers to itself, or holds what JSON cannot say.
    if (InvalidOptionError.isInstance(error) || error instanceof TypeError) return null;
    throw error;
  }
}

/** Where requests say how much may be written. */
const CAPS = ['max_completion_tokens', 'max_tokens', 'max_output_tokens', 'maxOutputTokens'];

/** The cap on the output that a request names, in whichever format. */
export function outputCapOf(args: object): number | null {
  const found: number[] = [];
  for (const place of [args, Reflect.get(args, 'config'), Reflect.get(args, 'generationConfig')]) {
    if (!isObject(place)) continue;
    for (const name of CAPS) {
      const cap = place[name];
      if (typeof cap === 'number' && Number.isSafeInteger(cap) && cap > 0) found.push(cap);
    }
  }
  return found.length === 0 ? null : Math.max(...found);
}

function asMessage(args: object, model: string): object | null {
  const cap = outputCapOf(args);
  const content = textOf(args);
  if (content === null) return null;
  return {
    model,
    messages: [{ role: 'user', content }],
    ...(cap !== null && { max_completion_tokens: cap }),
  };
}

function textOf(args: object): string | null {
  try {
    return JSON.stringify(args) ?? null;
  } catch {
    // It refers to itself, or holds what JSON cannot say: then its length is not known.
    return null;
  }
}
