import { PurseError } from '../../ledger/invalid.ts';
import type { AiSdkCall } from './call.ts';
import { usageOf } from './usage.ts';
import { mayBeBilled } from '../gateway-status.ts';
import { neverLeft } from '../never-left.ts';
import type { TokenBound } from '../prices/price.ts';
import { isObject } from '../providers/provider.ts';
import { parseJson } from '../providers/read-json.ts';
import type { Settlement } from '../settlement.ts';
import type { Usage } from '../usage.ts';

/**
 * Errors of the AI SDK that its providers throw while they write a request.
 * https://ai-sdk.dev/docs/reference/ai-sdk-errors
 */
const BEFORE_SENDING: ReadonlySet<unknown> = new Set([
  'AI_InvalidArgumentError',
  'AI_InvalidPromptError',
  'AI_LoadAPIKeyError',
  'AI_LoadSettingError',
  'AI_NoSuchModelError',
  'AI_NoSuchProviderReferenceError',
  'AI_UnsupportedFunctionalityError',
]);

/** Settles a call by the error that the AI SDK's model threw in place of an answer. */
export function settleFailed(
  error: unknown,
  settlement: Settlement,
  call: AiSdkCall,
  bound: TokenBound,
): Promise<void> {
  // What a metered fetch underneath refused did not leave either.
  if (PurseError.isInstance(error) || neverLeft(error)) return settlement.free();
  const said: Readonly<Record<string, unknown>> = isObject(error) ? error : {};
  if (BEFORE_SENDING.has(said.name)) return settlement.free();
  const usage = usageIn(said, call, bound);
  if (usage !== null) return settlement.used(usage);
  const { statusCode } = said;
  const refused = typeof statusCode === 'number' && statusCode >= 400 && !mayBeBilled(statusCode);
  return refused && !streamed(said.responseHeaders) ? settlement.free() : settlement.unknown();
}

/** An answer that the AI SDK could not read may still say what it used. */
function usageIn(
  { responseBody, data }: Readonly<Record<string, unknown>>,
  call: AiSdkCall,
  bound: TokenBound,
): Usage | null {
  const body = typeof responseBody === 'string' ? parseJson(responseBody) : data;
  return usageOf({ body, toolsRun: [], items: [] }, call, bound);
}

/** The status of an error inside a stream is the AI SDK's guess: the answer had begun. */
function streamed(headers: unknown): boolean {
  return isObject(headers) && String(headers['content-type']).includes('text/event-stream');
}
