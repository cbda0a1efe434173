import { asSent, field, listField, objectField, spelling } from './fields.ts';
import { boundGeminiInput, holdsMedia, toolsOf } from './input.ts';
import { openGeminiStream } from './stream.ts';
import { billsEachSearch, readGeminiUsage, tierName } from './usage.ts';
import { googleRefusalBody } from './refusal.ts';
import { callShape } from '../provider.ts';
import type { BodyChanges, CallShape, JsonObject, Provider, Route } from '../provider.ts';
import { decoded, largest, positive, textAt, wholeNumber } from '../read-json.ts';

/**
 * Gemini's `generateContent` and `embedContent`, whole and streamed, on the Gemini API and on
 * Vertex AI: https://ai.google.dev/api/generate-content
 */
export const gemini: Provider = {
  name: 'google',
  recognise,
  readCall,
  boundInput: boundGeminiInput,
  // The tokenizer is public only as a download.
  countInput: () => Promise.resolve(null),
  rewrite,
  readUsage: readGeminiUsage,
  answeredBy: (body) => textAt(body, 'modelVersion'),
  asksUsage: false,
  openStream: openGeminiStream,
  refusalBody: googleRefusalBody,
};

/** What a URL asks of which model. */
interface Target {
  readonly model: string;
  readonly method: string;
}

const FREE: ReadonlySet<string> = new Set(['countTokens', 'computeTokens']);
const EMBEDS: ReadonlySet<string> = new Set(['embedContent', 'batchEmbedContents']);
const STREAMS = 'streamGenerateContent';
const METERED: ReadonlySet<string> = new Set([...EMBEDS, 'generateContent', STREAMS]);

function recognise(method: string, url: URL): Route | null {
  const target = method === 'POST' ? targetOf(url) : null;
  if (target === null) return null;
  if (METERED.has(target.method)) return 'metered';
  return FREE.has(target.method) ? 'free' : null;
}

/**
 * `/v1beta/models/{model}:generateContent`, and on Vertex AI `…/publishers/google/models/{model}:…`.
 * Models that were tuned, or deployed to an endpoint, keep their kind in their name.
 */
function targetOf(url: URL): Target | null {
  const path = decoded(url.pathname);
  const match = /\/(models|tunedModels|endpoints)\/([^/:]+):(\w+)$/.exec(path);
  if (match === null || /\/publishers\/(?!google\/)/.test(path)) return null;
  const [, kind = '', name = '', method = ''] = match;
  return { model: kind === 'models' ? name : `${kind}/${name}`, method };
}

function readCall(body: JsonObject, url: URL | null): CallShape | null {
  if (url === null) return readWithoutUrl(body);
  const target = targetOf(url);
  if (target === null) return null;
  return EMBEDS.has(target.method) ? readEmbedding(body, target) : readGeneration(body, target);
}

/** Without a URL the body names its model, as the SDK takes it. */
function readWithoutUrl(body: JsonObject): CallShape | null {
  if (typeof body.model !== 'string' || body.contents === undefined) return null;
  const model = body.model.replace(/^.*models\//, '');
  return readGeneration(asSent(body), { model, method: 'generateContent' });
}

/** The largest image, of 4K: https://ai.google.dev/gemini-api/docs/image-generation */
const IMAGE_OUTPUT_TOKENS = 2_520;

function readGeneration(body: JsonObject, { model, method }: Target): CallShape | null {
  if (body.contents === undefined) return null;
  const config = objectField(body, 'generationConfig');
  const choices = wholeNumber(field(config, 'candidateCount')) ?? 1;
  const modalities = JSON.stringify(field(config, 'responseModalities') ?? []).toUpperCase();
  const outputImage = modalities.includes('IMAGE') || /-image/.test(model);
  return callShape({
    model,
    streamed: method === STREAMS,
    serviceTier: tierName(field(body, 'serviceTier')),
    choices,
    // Thoughts count against the cap too: https://github.com/googleapis/python-genai/issues/2062
    outputCap: largest(positive(config.maxOutputTokens), positive(config.max_output_tokens)),
    // Whether the cap bounds an image is not documented.
    extraOutputTokens: outputImage ? IMAGE_OUTPUT_TOKENS * choices : 0,
    outputAudio: modalities.includes('AUDIO') || /-(?:tts|native-audio)/.test(model),
    outputImage,
    inputMedia: holdsMedia(body),
    cacheWrites: 'none',
    pieces: piecesOf(body, model, modalities),
    // Every chunk has its usage.
    usageAsked: true,
  });
}

function readEmbedding(body: JsonObject, { model }: Target): CallShape | null {
  const { content, contents, requests } = body;
  if (content === undefined && contents === undefined && requests === undefined) return null;
  return callShape({
    model,
    outputCap: 0,
    cappable: false,
    inputMedia: listField(body, 'requests').some(holdsMedia) || holdsMedia(body),
    cacheWrites: 'none',
  });
}

/** Tools that cost nothing beside their tokens. */
const FREE_TOOLS: ReadonlySet<string> = new Set([
  'functionDeclarations',
  'codeExecution',
  'computerUse',
  'fileSearch',
  'mcpServers',
  'urlContext',
]);

/**
 * How often one prompt searches at most is not documented. Answers that show more than a few
 * searches are rare; what is billed in the end is what the answer says.
 */
const SEARCHES_HELD = 20;

/**
 * What is billed by the piece. Tools that are not known here are named, so that a call with them
 * needs a price in `usdPerPiece`; so does video.
 */
function piecesOf(body: JsonObject, model: string, modalities: string): Record<string, number> {
  const pieces: Record<string, number> = {};
  for (const tool of toolsOf(body)) {
    if (tool === 'googleSearch' || tool === 'googleSearchRetrieval') {
      pieces.web_searches = billsEachSearch(model) ? SEARCHES_HELD : 1;
    } else if (tool === 'googleMaps') {
      pieces.maps_searches = 1;
    } else if (!FREE_TOOLS.has(tool)) {
      pieces[tool] = 1;
    }
  }
  if (modalities.includes('VIDEO') || /-omni-/.test(model)) pieces.output_videos = 1;
  return pieces;
}

function rewrite(body: JsonObject, changes: BodyChanges): JsonObject {
  if (changes.outputCap === undefined) return body;
  const where = spelling(body, 'generationConfig');
  const config = objectField(body, 'generationConfig');
  const name = spelling(config, 'maxOutputTokens');
  return { ...body, [where]: { ...config, [name]: changes.outputCap } };
}
