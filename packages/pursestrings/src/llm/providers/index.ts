import { findProvider } from '@pydantic/genai-prices';

import { anthropicBatches } from './anthropic/batches.ts';
import { anthropicMessages } from './anthropic/messages.ts';
import { bedrockConverse } from './bedrock/converse.ts';
import { gemini } from './gemini/generate-content.ts';
import { hostOf } from './hosts.ts';
import { openaiChat } from './openai/chat.ts';
import { openaiCompletions } from './openai/completions.ts';
import { openaiEmbeddings } from './openai/embeddings.ts';
import { freeRoute } from './openai/free.ts';
import { openaiImages } from './openai/images.ts';
import { openaiResponses } from './openai/responses.ts';
import { openaiSpeech } from './openai/speech.ts';
import { openaiTranscriptions } from './openai/transcriptions.ts';
import type { CallShape, JsonObject, Provider, Route } from './provider.ts';

/** Every wire format that is understood, asked in this order. */
export const PROVIDERS: readonly Provider[] = [
  anthropicMessages,
  anthropicBatches,
  gemini,
  bedrockConverse,
  openaiChat,
  openaiResponses,
  openaiCompletions,
  openaiEmbeddings,
  openaiImages,
  openaiSpeech,
  openaiTranscriptions,
];

/** In whose format a refusal is answered on a host, where its route does not tell. */
const SPEAKERS: Readonly<Record<string, Provider>> = {
  anthropic: anthropicMessages,
  google: gemini,
  aws: bedrockConverse,
};

/** A route that some provider knows. */
export interface Recognised {
  readonly provider: Provider;
  readonly route: Route;
}

/** Finds who understands a request, or null. */
export function recognise(method: string, url: URL): Recognised | null {
  for (const provider of PROVIDERS) {
    const route = provider.recognise(method, url);
    if (route !== null) return { provider, route };
  }
  const free = freeRoute(method, url);
  return free === null ? null : { provider: speakerOf(url), route: free };
}

/** Who answers in a format that the SDKs of a host understand. */
export function speakerOf(url: URL): Provider {
  return SPEAKERS[hostOf(url)?.name ?? ''] ?? openaiChat;
}

/** A body, and who understands it without its URL. */
export interface RecognisedBody {
  readonly provider: Provider;
  readonly shape: CallShape;
}

/** Finds the format of a request's body; with a URL, its route decides. */
export function recogniseBody(body: JsonObject, url: URL | null): RecognisedBody | null {
  const known = url === null ? null : recognise('POST', url);
  const candidates = known === null ? PROVIDERS : [known.provider];
  for (const provider of candidates) {
    const shape = provider.readCall(body, known === null ? null : url);
    if (shape !== null) return { provider, shape };
  }
  return null;
}

/** Paths under which model calls are sold, whoever the host is. */
const SPENDING_PATH: RegExp = new RegExp(
  `/(?:${[
    'completions?',
    'responses',
    'messages',
    'chat',
    'generate',
    'embeddings',
    'rerank',
    'batches',
    'images/\\w+',
    'audio/\\w+',
    'videos',
    'realtime/\\w+',
    'models/[^/]+:\\w+',
    // Vercel's AI Gateway names the model in a header.
    '(?:language|embedding|image|video|speech|transcription|reranking)-model',
    // Cloudflare's Workers AI, directly and behind its gateway.
    '(?:ai/run|workers-ai)/@?[\\w-]+/.+',
    'converse(?:-stream)?',
    'invoke(?:-with-response-stream)?',
  ].join('|')})/?$`,
  'i',
);

/**
 * Why a POST that nobody recognised must not go out unmetered, by where it goes: to a provider's
 * own host, or to a path of model calls. Null when nothing says so.
 */
export function suspiciousRoute(url: URL): string | null {
  const owner = hostOf(url)?.name ?? findProvider({ providerApiUrl: url.href })?.name;
  if (owner !== undefined) return `${url.host} is a host of ${owner}`;
  return SPENDING_PATH.test(url.pathname) ? 'its path is one of model calls' : null;
}

/** Why it must not, by the beginning of its body. */
export function suspiciousBody(text: string | null): string | null {
  return text !== null && /"model"\s*:\s*"/.test(text) ? 'its body names a model' : null;
}
