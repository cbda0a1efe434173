import { isConsistent } from '../../usage.ts';
import type { Pieces, Usage } from '../../usage.ts';
import { isObject } from '../provider.ts';
import type { CallShape, JsonObject } from '../provider.ts';
import { count } from '../read-json.ts';

/** Tokens by kind, as `…TokensDetails` list them. */
interface Kinds {
  readonly audio: number;
  /** Images, and pages of documents, which are read as images. */
  readonly image: number;
  readonly video: number;
}

/**
 * Reads `usageMetadata`: https://ai.google.dev/api/generate-content#UsageMetadata. The prompt holds
 * what was cached, the candidates do not hold the thoughts, and what tools returned is input too.
 */
export function readGeminiUsage(body: unknown, shape: CallShape | null): Usage | null {
  if (!isObject(body)) return null;
  const said = isObject(body.usageMetadata) ? body.usageMetadata : body;
  const prompt = count(said.promptTokenCount);
  if (prompt === undefined) return null;
  const inputTokens = prompt + (count(said.toolUsePromptTokenCount) ?? 0);
  const outputTokens = outputOf(body, said, inputTokens);
  if (outputTokens === null || (inputTokens === 0 && outputTokens === 0)) return null;
  const details = said.promptTokensDetails ?? said.promptTokenDetails;
  // Which tokens are dearer, only the details tell.
  if (!Array.isArray(details) && shape?.inputMedia === true) return null;
  const input = added(kindsOf(details), kindsOf(said.toolUsePromptTokensDetails));
  const cached = kindsOf(said.cacheTokensDetails);
  const pieces = searchPieces(body, shape);
  const tier = tierOf(said);
  const usage: Usage = {
    inputTokens,
    outputTokens,
    cachedInputTokens: count(said.cachedContentTokenCount) ?? 0,
    inputAudioTokens: input.audio,
    cachedAudioTokens: Math.min(cached.audio, input.audio),
    inputImageTokens: input.image,
    cachedImageTokens: Math.min(cached.image, input.image),
    // A cached video costs what cached text costs.
    inputVideoTokens: input.video - Math.min(cached.video, input.video),
    ...outputKinds(said, shape),
    reasoningTokens: count(said.thoughtsTokenCount) ?? 0,
    ...(pieces === null ? {} : { pieces }),
    ...(tier === null ? {} : { serviceTier: tier }),
  };
  return isConsistent(usage) ? usage : null;
}

/** Candidates and thoughts; what the total holds beyond them is output too. */
function outputOf(body: JsonObject, said: JsonObject, inputTokens: number): number | null {
  const candidates = count(said.candidatesTokenCount);
  const total = count(said.totalTokenCount);
  const embeds = body.embedding !== undefined || body.embeddings !== undefined;
  if (candidates === undefined && total === undefined && !embeds) return null;
  const counted = (candidates ?? 0) + (count(said.thoughtsTokenCount) ?? 0);
  if (Number.isNaN(counted)) return null;
  if (counted === 0 && total === inputTokens && hasText(body)) return null;
  if (total === undefined || total <= inputTokens + counted) return counted;
  return total - inputTokens;
}

function hasText(body: JsonObject): boolean {
  return objects(body.candidates).some(({ content }) =>
    objects(isObject(content) ? content.parts : null).some(({ text }) => Boolean(text)),
  );
}

/** Without details, output that may be dearer than text is taken to be all of it. */
function outputKinds(
  said: JsonObject,
  shape: CallShape | null,
): Pick<Usage, 'outputAudioTokens' | 'outputImageTokens'> {
  const details = said.candidatesTokensDetails;
  const { audio, image } = kindsOf(details);
  if (Array.isArray(details)) return { outputAudioTokens: audio, outputImageTokens: image };
  const all = count(said.candidatesTokenCount) ?? 0;
  if (shape?.outputImage === true) return { outputImageTokens: all };
  return shape?.outputAudio === true ? { outputAudioTokens: all } : {};
}

function kindsOf(details: unknown): Kinds {
  const kinds = { audio: 0, image: 0, video: 0 };
  for (const each of objects(details)) {
    const tokens = count(each.tokenCount) ?? 0;
    if (each.modality === 'AUDIO') kinds.audio += tokens;
    else if (each.modality === 'VIDEO') kinds.video += tokens;
    else if (each.modality === 'IMAGE' || each.modality === 'DOCUMENT') kinds.image += tokens;
  }
  return kinds;
}

function added(one: Kinds, other: Kinds): Kinds {
  return {
    audio: one.audio + other.audio,
    image: one.image + other.image,
    video: one.video + other.video,
  };
}

/**
 * The tier that served the call. Gemini API: `serviceTier`; Vertex AI: `trafficType`, such as
 * `ON_DEMAND_PRIORITY`. https://ai.google.dev/gemini-api/docs/priority-inference
 */
function tierOf(said: JsonObject): string | null {
  const { serviceTier, trafficType } = said;
  if (typeof serviceTier === 'string') return tierName(serviceTier);
  if (typeof trafficType !== 'string') return null;
  const premium = /^ON_DEMAND_(\w+)$/.exec(trafficType)?.[1];
  return premium === undefined ? 'standard' : premium.toLowerCase();
}

/** A tier's name without its kind; null where none is named. */
export function tierName(tier: unknown): string | null {
  if (typeof tier !== 'string') return null;
  const name = tier.toLowerCase().replace(/^service_tier_/, '');
  return name === 'unspecified' || name === '' ? null : name;
}

/** Models until Gemini 2.5 bill a grounded prompt, later ones each search. */
export function billsEachSearch(model: string): boolean {
  return !/gemini-(?:1\.|2\.|pro|flash)/.test(model);
}

/**
 * Searches as they are billed: the different ones that are not empty, or the prompt that was
 * grounded. https://ai.google.dev/gemini-api/docs/google-search#pricing
 */
function searchPieces(body: JsonObject, shape: CallShape | null): Pieces | null {
  const searched = new Set<unknown>();
  let grounded = false;
  for (const candidate of objects(body.candidates)) {
    const [metadata] = objects([candidate.groundingMetadata]);
    if (metadata === undefined) continue;
    const queries = Array.isArray(metadata.webSearchQueries) ? metadata.webSearchQueries : [];
    for (const query of queries as readonly unknown[]) if (query !== '') searched.add(query);
    if (objects(metadata.groundingChunks).some(({ web }) => isObject(web))) grounded = true;
  }
  if (searched.size === 0 && shape?.pieces.web_searches === undefined) return null;
  const model = shape?.model ?? (typeof body.modelVersion === 'string' ? body.modelVersion : '');
  if (billsEachSearch(model)) return { web_searches: searched.size };
  return { web_searches: searched.size > 0 || grounded ? 1 : 0 };
}

function objects(list: unknown): readonly JsonObject[] {
  return Array.isArray(list) ? (list as readonly unknown[]).filter(isObject) : [];
}
