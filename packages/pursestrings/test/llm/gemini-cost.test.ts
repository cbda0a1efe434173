import { GoogleGenAI } from '@google/genai';
import { describe, expect, it } from 'vitest';

import { geminiPeer, geminiText } from './peers/gemini-peer.ts';
import type { GeminiAnswer } from './peers/gemini-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';

/** USD for a million tokens: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22. */
const FLASH_25 = {
  input: picos('0.3'),
  cached: picos('0.03'),
  audio: picos('1'),
  cachedAudio: picos('0.1'),
  output: picos('2.5'),
};
const PRO_25 = { input: picos('1.25'), cached: picos('0.125'), output: picos('10') };
const PRO_25_LONG = { input: picos('2.5'), cached: picos('0.25'), output: picos('15') };
const FLASH_IMAGE_25 = { input: picos('0.3'), output: picos('2.5'), image: picos('30') };
const PRO_31 = { input: picos('2'), output: picos('12') };
const TTS_25 = { input: picos('0.5'), audioOut: picos('10') };
/** A grounded prompt until Gemini 2.5, a search from Gemini 3 on: USD 35 and 14 a thousand. */
const GROUNDED_PROMPT = 35_000_000_000n;
const SEARCH = 14_000_000_000n;

interface Case {
  readonly name: string;
  readonly model: string;
  readonly request?: Readonly<Record<string, unknown>>;
  readonly usage: Readonly<Record<string, unknown>>;
  readonly candidate?: Readonly<Record<string, unknown>>;
  readonly picos: bigint;
}

const text = (tokenCount: number): object => ({ modality: 'TEXT', tokenCount });
const of = (modality: string, tokenCount: number): object => ({ modality, tokenCount });

const CASES: readonly Case[] = [
  {
    name: 'text, with thoughts beside the candidates',
    model: 'gemini-2.5-flash',
    usage: {
      promptTokenCount: 1_000,
      candidatesTokenCount: 300,
      thoughtsTokenCount: 2_000,
      totalTokenCount: 3_300,
      promptTokensDetails: [text(1_000)],
    },
    picos: 1_000n * FLASH_25.input + 2_300n * FLASH_25.output,
  },
  {
    name: 'thoughts without a total',
    model: 'gemini-2.5-flash',
    usage: { promptTokenCount: 1_000, candidatesTokenCount: 300, thoughtsTokenCount: 2_000 },
    picos: 1_000n * FLASH_25.input + 2_300n * FLASH_25.output,
  },
  {
    name: 'a cached prefix, inside the prompt',
    model: 'gemini-2.5-flash',
    usage: {
      promptTokenCount: 5_000,
      cachedContentTokenCount: 4_096,
      candidatesTokenCount: 10,
      totalTokenCount: 5_010,
      promptTokensDetails: [text(5_000)],
      cacheTokensDetails: [text(4_096)],
    },
    picos: 904n * FLASH_25.input + 4_096n * FLASH_25.cached + 10n * FLASH_25.output,
  },
  {
    name: 'audio, half of it cached, beside an image and a document',
    model: 'gemini-2.5-flash',
    usage: {
      promptTokenCount: 3_000,
      cachedContentTokenCount: 1_000,
      candidatesTokenCount: 50,
      totalTokenCount: 3_050,
      promptTokensDetails: [
        text(500),
        of('AUDIO', 1_600),
        of('IMAGE', 258),
        of('DOCUMENT', 516),
        of('VIDEO', 126),
      ],
      cacheTokensDetails: [of('AUDIO', 800), text(200)],
    },
    picos:
      (300n + 258n + 516n + 126n) * FLASH_25.input +
      200n * FLASH_25.cached +
      800n * FLASH_25.audio +
      800n * FLASH_25.cachedAudio +
      50n * FLASH_25.output,
  },
  {
    name: 'a cached video, at the price of cached text',
    model: 'gemini-2.5-flash',
    usage: {
      promptTokenCount: 10_000,
      cachedContentTokenCount: 9_000,
      candidatesTokenCount: 5,
      totalTokenCount: 10_005,
      promptTokensDetails: [text(1_000), of('VIDEO', 9_000)],
      cacheTokensDetails: [of('VIDEO', 9_000)],
    },
    picos: 1_000n * FLASH_25.input + 9_000n * FLASH_25.cached + 5n * FLASH_25.output,
  },
  {
    name: 'what tools returned, as input',
    model: 'gemini-2.5-flash',
    request: { tools: [{ codeExecution: {} }, { urlContext: {} }] },
    usage: {
      promptTokenCount: 100,
      toolUsePromptTokenCount: 4_000,
      candidatesTokenCount: 20,
      thoughtsTokenCount: 30,
      totalTokenCount: 4_150,
      promptTokensDetails: [text(100)],
      toolUsePromptTokensDetails: [text(4_000)],
    },
    picos: 4_100n * FLASH_25.input + 50n * FLASH_25.output,
  },
  {
    name: 'a long prompt, at the rates past 200,000 tokens',
    model: 'gemini-2.5-pro',
    usage: {
      promptTokenCount: 200_001,
      cachedContentTokenCount: 100_000,
      candidatesTokenCount: 7,
      totalTokenCount: 200_008,
      promptTokensDetails: [text(200_001)],
    },
    picos: 100_001n * PRO_25_LONG.input + 100_000n * PRO_25_LONG.cached + 7n * PRO_25_LONG.output,
  },
  {
    name: 'audio on a model with one price for all input',
    model: 'gemini-2.5-pro',
    usage: {
      promptTokenCount: 200_000,
      candidatesTokenCount: 7,
      totalTokenCount: 200_007,
      promptTokensDetails: [text(100_000), of('AUDIO', 100_000)],
    },
    picos: 200_000n * PRO_25.input + 7n * PRO_25.output,
  },
  {
    name: 'an image in the answer',
    model: 'gemini-2.5-flash-image',
    request: { generationConfig: { responseModalities: ['TEXT', 'IMAGE'] } },
    usage: {
      promptTokenCount: 12,
      candidatesTokenCount: 1_310,
      totalTokenCount: 1_322,
      promptTokensDetails: [text(12)],
      candidatesTokensDetails: [of('IMAGE', 1_290), text(20)],
    },
    picos: 12n * FLASH_IMAGE_25.input + 20n * FLASH_IMAGE_25.output + 1_290n * FLASH_IMAGE_25.image,
  },
  {
    name: 'an image in the answer that no details tell of',
    model: 'gemini-2.5-flash-image',
    usage: { promptTokenCount: 12, candidatesTokenCount: 1_290, totalTokenCount: 1_302 },
    picos: 12n * FLASH_IMAGE_25.input + 1_290n * FLASH_IMAGE_25.image,
  },
  {
    name: 'speech in the answer',
    model: 'gemini-2.5-flash-preview-tts',
    usage: {
      promptTokenCount: 40,
      candidatesTokenCount: 900,
      totalTokenCount: 940,
      promptTokensDetails: [text(40)],
      candidatesTokensDetails: [of('AUDIO', 900)],
    },
    picos: 40n * TTS_25.input + 900n * TTS_25.audioOut,
  },
  {
    name: 'a flex call at half the price',
    model: 'gemini-2.5-pro',
    request: { serviceTier: 'flex' },
    usage: {
      promptTokenCount: 1_000,
      candidatesTokenCount: 100,
      totalTokenCount: 1_100,
      serviceTier: 'flex',
    },
    picos: 1_000n * picos('0.625') + 100n * picos('5'),
  },
  {
    name: 'a priority call at 1.8 times the price',
    model: 'gemini-2.5-pro',
    request: { serviceTier: 'SERVICE_TIER_PRIORITY' },
    usage: {
      promptTokenCount: 1_000,
      candidatesTokenCount: 100,
      totalTokenCount: 1_100,
      serviceTier: 'priority',
    },
    picos: 1_000n * picos('2.25') + 100n * picos('18'),
  },
  {
    name: 'a priority call that was served as a standard one',
    model: 'gemini-2.5-pro',
    request: { serviceTier: 'priority' },
    usage: {
      promptTokenCount: 1_000,
      candidatesTokenCount: 100,
      totalTokenCount: 1_100,
      serviceTier: 'standard',
    },
    picos: 1_000n * PRO_25.input + 100n * PRO_25.output,
  },
  {
    name: 'a priority call on Vertex AI, which only the answer tells',
    model: 'gemini-2.5-pro',
    usage: {
      promptTokenCount: 1_000,
      candidatesTokenCount: 100,
      totalTokenCount: 1_100,
      trafficType: 'ON_DEMAND_PRIORITY',
    },
    picos: 1_000n * picos('2.25') + 100n * picos('18'),
  },
  {
    name: 'a prompt that was grounded by three searches, once on Gemini 2.5',
    model: 'gemini-2.5-flash',
    request: { tools: [{ googleSearch: {} }] },
    usage: { promptTokenCount: 100, candidatesTokenCount: 50, totalTokenCount: 150 },
    candidate: { groundingMetadata: { webSearchQueries: ['a', 'b', 'c'] } },
    picos: 100n * FLASH_25.input + 50n * FLASH_25.output + GROUNDED_PROMPT,
  },
  {
    name: 'two different searches on Gemini 3',
    model: 'gemini-3.1-pro-preview',
    request: { tools: [{ google_search: {} }] },
    usage: { promptTokenCount: 100, candidatesTokenCount: 50, totalTokenCount: 150 },
    candidate: { groundingMetadata: { webSearchQueries: ['', 'a', 'b', 'a', ''] } },
    picos: 100n * PRO_31.input + 50n * PRO_31.output + 2n * SEARCH,
  },
  {
    name: 'a search tool that was not used',
    model: 'gemini-3.1-pro-preview',
    request: { tools: [{ googleSearch: {} }] },
    usage: { promptTokenCount: 100, candidatesTokenCount: 50, totalTokenCount: 150 },
    picos: 100n * PRO_31.input + 50n * PRO_31.output,
  },
  {
    name: 'a total that holds more than its parts, as output',
    model: 'gemini-2.5-flash',
    usage: { promptTokenCount: 100, candidatesTokenCount: 50, totalTokenCount: 250 },
    picos: 100n * FLASH_25.input + 150n * FLASH_25.output,
  },
  {
    name: 'an answer of thoughts alone',
    model: 'gemini-2.5-flash',
    usage: { promptTokenCount: 100, thoughtsTokenCount: 49, totalTokenCount: 149 },
    picos: 100n * FLASH_25.input + 49n * FLASH_25.output,
  },
];

const FORMS = [
  ['whole', 'generateContent'],
  ['as events', 'streamGenerateContent?alt=sse'],
  ['as an array', 'streamGenerateContent'],
] as const;

describe('a Gemini call costs exactly what it should', () => {
  for (const each of CASES) {
    it.each(FORMS)(`${each.name}, %s`, async (_, method) => {
      const words = each.usage.candidatesTokenCount === undefined ? '' : 'one two three';
      const { candidate = {} } = each;
      const peer = await geminiPeer(() =>
        geminiText(words, each.usage, { candidate, picos: each.picos }),
      );
      const ledger = await openPeerLedger(peer.url);
      const path = `/v1beta/models/${each.model}:${method}`;
      const response = await ledger.fetch(`https://generativelanguage.googleapis.com${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          contents: [{ role: 'user', parts: [{ text: 'Say some words' }] }],
          ...each.request,
        }),
      });
      expect(response.status).toBe(200);
      await response.text();
      expect(await ledger.spentSteps()).toBe(stepsOf(each.picos));
      expect(await ledger.spentSteps()).toBe(stepsOf(peer.billedPicos));
      expect(await ledger.heldSteps()).toBe(0n);
      const [charge] = await ledger.charges();
      expect(charge?.labels).toMatchObject({ provider: 'google', model: each.model });
    });
  }

  it('bills the prompt alone when it was blocked', async () => {
    const usageMetadata = { promptTokenCount: 400, totalTokenCount: 400 };
    const chunks = [{ promptFeedback: { blockReason: 'SAFETY' }, usageMetadata }];
    const peer = await geminiPeer((): GeminiAnswer => ({ chunks }));
    const ledger = await openPeerLedger(peer.url);
    const httpOptions = { baseUrl: peer.url, fetch: ledger.fetch };
    const google = new GoogleGenAI({ apiKey: 'none', httpOptions });
    const params = { model: 'gemini-2.5-flash', contents: 'Say some words' };
    await google.models.generateContent(params);
    for await (const chunk of await google.models.generateContentStream(params)) {
      expect(chunk.promptFeedback?.blockReason).toBe('SAFETY');
    }
    const once = stepsOf(400n * FLASH_25.input);
    expect(await ledger.spentSteps()).toBe(2n * once);
  });

  it('embeds, at the price of the input', async () => {
    const embedding = { values: [0.1, 0.2] };
    const usageMetadata = { promptTokenCount: 5, promptTokenDetails: [text(5)] };
    const chunks = [{ embedding, embeddings: [embedding], usageMetadata }];
    const peer = await geminiPeer(() => ({ chunks }));
    const ledger = await openPeerLedger(peer.url);
    const httpOptions = { baseUrl: peer.url, fetch: ledger.fetch };
    const google = new GoogleGenAI({ apiKey: 'none', httpOptions });
    const model = 'gemini-embedding-2';
    const answer = await google.models.embedContent({ model, contents: ['Say some words'] });
    expect(answer.embeddings?.[0]?.values).toEqual([0.1, 0.2]);
    // USD 0.20 for a million tokens of text: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22.
    expect(await ledger.spentSteps()).toBe(stepsOf(5n * picos('0.2')));
  });
});
