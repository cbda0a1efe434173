import { describe, expect, it } from 'vitest';

import { calculateCost, readUsage } from '../../src/llm/index.ts';
import type { ProviderUsage } from '../../src/llm/index.ts';
import { PROVIDERS } from '../../src/llm/providers/index.ts';
import { steps } from './fixture.ts';

/** One answer as its provider's documentation shows it, and what it cost. */
interface Sample {
  readonly name: string;
  /** Names the only formats that may understand it. */
  readonly format: RegExp;
  readonly model: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** Where the usage lies in it; null where it cannot be read alone. */
  readonly usageIn: string | null;
  /** What is read of it, zeros left out. */
  readonly read: Readonly<Record<string, unknown>>;
  /** In picodollars, which are USD for a million tokens: rates of 2026-11-22, in BigInt. */
  readonly picos: bigint;
  /** What the usage alone costs, where the body says more. */
  readonly barePicos?: bigint;
}

const CHAT = /^openai-chat$/;

/**
 * Rates: https://platform.openai.com/docs/pricing, https://platform.claude.com/docs/en/pricing,
 * https://ai.google.dev/gemini-api/docs/pricing, https://aws.amazon.com/bedrock/pricing,
 * https://api-docs.deepseek.com, https://docs.x.ai, https://console.groq.com/docs/models.
 */
const SAMPLES: readonly Sample[] = [
  {
    name: 'a chat completion',
    format: CHAT,
    model: 'gpt-4o',
    body: {
      object: 'chat.completion',
      model: 'gpt-4o-2024-08-06',
      choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: 1_000,
        completion_tokens: 200,
        total_tokens: 1_200,
        prompt_tokens_details: { cached_tokens: 400, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
      },
      service_tier: 'default',
    },
    usageIn: 'usage',
    read: { inputTokens: 1_000, outputTokens: 200, cachedInputTokens: 400 },
    picos: 600n * 2_500_000n + 400n * 1_250_000n + 200n * 10_000_000n,
  },
  {
    name: 'the last chunk of a chat completion',
    format: CHAT,
    model: 'gpt-4o',
    body: {
      object: 'chat.completion.chunk',
      choices: [],
      usage: { prompt_tokens: 1_000, completion_tokens: 200, total_tokens: 1_200 },
    },
    usageIn: 'usage',
    read: { inputTokens: 1_000, outputTokens: 200 },
    picos: 1_000n * 2_500_000n + 200n * 10_000_000n,
  },
  {
    name: 'a chat completion with audio',
    format: CHAT,
    model: 'gpt-audio',
    body: {
      object: 'chat.completion',
      usage: {
        prompt_tokens: 100,
        completion_tokens: 60,
        total_tokens: 160,
        prompt_tokens_details: { audio_tokens: 30, text_tokens: 70 },
        completion_tokens_details: { audio_tokens: 50, text_tokens: 10 },
      },
    },
    usageIn: 'usage',
    read: { inputTokens: 100, outputTokens: 60, inputAudioTokens: 30, outputAudioTokens: 50 },
    picos: 70n * 2_500_000n + 30n * 32_000_000n + 10n * 10_000_000n + 50n * 64_000_000n,
  },
  {
    name: 'DeepSeek, by names of its own',
    format: CHAT,
    model: 'gpt-4o',
    body: {
      object: 'chat.completion',
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_cache_hit_tokens: 60,
        prompt_cache_miss_tokens: 40,
      },
    },
    usageIn: 'usage',
    read: { inputTokens: 100, outputTokens: 20, cachedInputTokens: 60 },
    picos: 40n * 2_500_000n + 60n * 1_250_000n + 20n * 10_000_000n,
  },
  {
    name: 'xAI, with its reasoning beside the completion',
    format: CHAT,
    model: 'grok-4',
    body: {
      object: 'chat.completion',
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 170,
        completion_tokens_details: { reasoning_tokens: 50 },
      },
    },
    usageIn: 'usage',
    read: { inputTokens: 100, outputTokens: 70, reasoningTokens: 50 },
    picos: 100n * 3_000_000n + 70n * 15_000_000n,
  },
  {
    name: 'Groq, at the end of its streams',
    format: CHAT,
    model: 'gpt-4o',
    body: {
      object: 'chat.completion.chunk',
      choices: [],
      x_groq: { usage: { prompt_tokens: 100, completion_tokens: 20, total_tokens: 120 } },
    },
    usageIn: null,
    read: { inputTokens: 100, outputTokens: 20 },
    picos: 100n * 2_500_000n + 20n * 10_000_000n,
  },
  {
    name: 'OpenRouter, which says what it cost',
    format: CHAT,
    model: 'gpt-4o',
    body: {
      object: 'chat.completion',
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        cost: 0.0012,
        is_byok: false,
      },
    },
    usageIn: 'usage',
    read: { inputTokens: 100, outputTokens: 20, reportedUsd: 0.0012 },
    picos: 1_200_000_000n,
  },
  {
    name: 'a completion of a prompt',
    format: CHAT,
    model: 'gpt-3.5-turbo-instruct',
    body: {
      object: 'text_completion',
      choices: [{ text: 'x' }],
      usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 },
    },
    usageIn: 'usage',
    read: { inputTokens: 10, outputTokens: 20 },
    picos: 10n * 1_500_000n + 20n * 2_000_000n,
  },
  {
    name: 'embeddings',
    format: /^openai-embeddings$/,
    model: 'text-embedding-3-small',
    body: { object: 'list', data: [], usage: { prompt_tokens: 500, total_tokens: 500 } },
    usageIn: 'usage',
    read: { inputTokens: 500 },
    picos: 500n * 20_000n,
  },
  {
    name: 'a response',
    format: /^openai-responses$/,
    model: 'gpt-5',
    body: {
      id: 'resp_1',
      object: 'response',
      status: 'completed',
      model: 'gpt-5-2025-08-07',
      tools: [{ type: 'web_search' }],
      output: [{ type: 'web_search_call', action: { type: 'search' } }],
      usage: {
        input_tokens: 1_000,
        input_tokens_details: { cached_tokens: 400 },
        output_tokens: 200,
        output_tokens_details: { reasoning_tokens: 50 },
        total_tokens: 1_200,
      },
    },
    usageIn: 'usage',
    read: {
      inputTokens: 1_000,
      outputTokens: 200,
      cachedInputTokens: 400,
      reasoningTokens: 50,
      pieces: { web_searches: 1 },
    },
    picos: 600n * 1_250_000n + 400n * 125_000n + 200n * 10_000_000n + 10_000_000_000n,
    barePicos: 600n * 1_250_000n + 400n * 125_000n + 200n * 10_000_000n,
  },
  {
    name: 'the last event of a streamed response',
    format: /^openai-responses$/,
    model: 'gpt-4o',
    body: {
      type: 'response.completed',
      response: {
        object: 'response',
        status: 'completed',
        model: 'gpt-4o',
        output: [],
        usage: { input_tokens: 1_000, output_tokens: 200, total_tokens: 1_200 },
      },
    },
    usageIn: null,
    read: { inputTokens: 1_000, outputTokens: 200 },
    picos: 1_000n * 2_500_000n + 200n * 10_000_000n,
  },
  {
    name: 'an image',
    format: /^openai-images$/,
    model: 'gpt-image-1',
    body: {
      created: 1,
      data: [{ b64_json: '' }],
      usage: {
        total_tokens: 4_210,
        input_tokens: 50,
        output_tokens: 4_160,
        input_tokens_details: { text_tokens: 10, image_tokens: 40 },
      },
    },
    usageIn: 'usage',
    read: {
      inputTokens: 50,
      outputTokens: 4_160,
      inputImageTokens: 40,
      outputImageTokens: 4_160,
    },
    picos: 10n * 5_000_000n + 40n * 10_000_000n + 4_160n * 40_000_000n,
  },
  {
    name: 'a transcription by the token',
    format: /^openai-transcriptions$/,
    model: 'gpt-4o-transcribe',
    body: {
      text: 'x',
      usage: {
        type: 'tokens',
        input_tokens: 14,
        input_token_details: { text_tokens: 4, audio_tokens: 10 },
        output_tokens: 45,
        total_tokens: 59,
      },
    },
    usageIn: 'usage',
    read: { inputTokens: 14, outputTokens: 45, inputAudioTokens: 10 },
    picos: 4n * 2_500_000n + 10n * 6_000_000n + 45n * 10_000_000n,
  },
  {
    name: 'a transcription by the second',
    format: /^openai-transcriptions$/,
    model: 'whisper-1',
    body: { text: 'x', usage: { type: 'duration', seconds: 60 } },
    usageIn: 'usage',
    read: { pieces: { audio_seconds: 60 } },
    picos: 6_000_000_000n,
  },
  {
    name: 'a message of Claude',
    format: /^anthropic-messages$/,
    model: 'claude-sonnet-4-5',
    body: {
      type: 'message',
      role: 'assistant',
      model: 'claude-sonnet-4-5-20250929',
      content: [{ type: 'text', text: 'x' }],
      usage: {
        input_tokens: 100,
        cache_creation_input_tokens: 50,
        cache_read_input_tokens: 30,
        cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 10 },
        output_tokens: 20,
        service_tier: 'standard',
      },
    },
    usageIn: 'usage',
    read: {
      inputTokens: 180,
      outputTokens: 20,
      cachedInputTokens: 30,
      cacheWriteTokens: 50,
      cacheWrite1hTokens: 10,
    },
    picos: 100n * 3_000_000n + 30n * 300_000n + 40n * 3_750_000n + 10n * 6_000_000n + 300_000_000n,
  },
  {
    name: 'Gemini',
    format: /^gemini$/,
    model: 'gemini-2.5-flash',
    body: {
      candidates: [{ content: { parts: [{ text: 'x' }] }, finishReason: 'STOP' }],
      usageMetadata: {
        promptTokenCount: 100,
        candidatesTokenCount: 20,
        thoughtsTokenCount: 30,
        totalTokenCount: 150,
        cachedContentTokenCount: 40,
        promptTokensDetails: [{ modality: 'TEXT', tokenCount: 100 }],
      },
      modelVersion: 'gemini-2.5-flash',
    },
    usageIn: 'usageMetadata',
    read: { inputTokens: 100, outputTokens: 50, cachedInputTokens: 40, reasoningTokens: 30 },
    picos: 60n * 300_000n + 40n * 30_000n + 50n * 2_500_000n,
  },
  {
    name: "Bedrock's Converse",
    format: /^bedrock-converse$/,
    model: 'claude-sonnet-4-5',
    body: {
      output: { message: { role: 'assistant', content: [{ text: 'x' }] } },
      stopReason: 'end_turn',
      metrics: { latencyMs: 1 },
      usage: { inputTokens: 100, outputTokens: 20, totalTokens: 150, cacheReadInputTokens: 30 },
    },
    usageIn: 'usage',
    read: { inputTokens: 130, outputTokens: 20, cachedInputTokens: 30 },
    picos: 100n * 3_000_000n + 30n * 300_000n + 20n * 15_000_000n,
  },
];

const FORMATS: readonly string[] = [
  'anthropic-messages',
  'anthropic-batches',
  'gemini',
  'bedrock-converse',
  'openai-chat',
  'openai-responses',
  'openai-chat',
  'openai-embeddings',
  'openai-images',
  'openai-speech',
  'openai-transcriptions',
];

/** The formats that understand something; completions of prompts have the usage of chat. */
function readers(body: unknown): readonly string[] {
  const understood = PROVIDERS.map(({ readUsage: read }, index) =>
    read(body, null) === null ? null : FORMATS[index],
  );
  return [...new Set(understood.filter((name) => name !== null && name !== undefined))];
}

function withoutZeros(usage: object): Record<string, unknown> {
  const { serviceTier: _, ...counts } = Object.fromEntries(Object.entries(usage));
  return Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0));
}

/** Picodollars as steps of 1e-8 USD, rounded up once. */
function stepsOf(picos: bigint): bigint {
  return (picos + 9_999n) / 10_000n;
}

describe.each(SAMPLES)('the usage of $name', (sample) => {
  const { model, body, usageIn, read, picos, barePicos = picos, format } = sample;

  it('is read from the whole body, by its own format only, at its price', () => {
    const usage = readUsage(body);
    expect(usage).not.toBeNull();
    if (usage === null) return;
    expect(withoutZeros(usage)).toEqual(read);
    for (const reader of readers(body)) expect(reader).toMatch(format);
    expect(steps(calculateCost(model, usage).usd)).toBe(stepsOf(picos));
  });

  // Some answers have their usage in pieces, or none: there is no object to read alone.
  if (usageIn === null) return;

  it('is read from its usage object alone', () => {
    const bare = body[usageIn] as ProviderUsage;
    for (const reader of readers(bare)) expect(reader).toMatch(format);
    expect(steps(calculateCost(model, bare).usd)).toBe(stepsOf(barePicos));
  });

  it('is not read once a count is no count', () => {
    const bare = body[usageIn] as Readonly<Record<string, unknown>>;
    const counts = Object.keys(bare).filter(
      (name) =>
        /^(?:prompt|completion|input|output)|seconds/i.test(name) && !/etails|_miss_/.test(name),
    );
    expect(counts).not.toEqual([]);
    for (const name of counts) {
      for (const lie of [-1, 1.5, '10', Number.NaN, 2 ** 53, {}, true]) {
        // Seconds are no whole number everywhere.
        if (name === 'seconds' && lie === 1.5) continue;
        const said = readUsage({ ...body, [usageIn ?? '']: { ...bare, [name]: lie } });
        expect(said, `${name}: ${JSON.stringify(lie)}`).toBeNull();
      }
    }
  });
});

describe('what is the usage of nobody here', () => {
  it.each<[string, unknown]>([
    ['nothing', null],
    ['a list', []],
    ['an empty object', {}],
    ['an empty usage', { usage: {} }],
    ['zeros', { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }],
    [
      // https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
      'the realtime API, whose audio is dearer',
      {
        total_tokens: 253,
        input_tokens: 132,
        output_tokens: 121,
        input_token_details: { text_tokens: 119, audio_tokens: 13, cached_tokens: 64 },
        output_token_details: { text_tokens: 30, audio_tokens: 91 },
      },
    ],
    [
      // https://js.langchain.com/docs/concepts/chat_models/
      'LangChain, whose cache writes are dearer',
      {
        input_tokens: 130,
        output_tokens: 20,
        total_tokens: 150,
        input_token_details: { cache_read: 30, cache_creation: 50 },
      },
    ],
    [
      'the AI SDK, which counts what was cached inside the input',
      { inputTokens: 100, outputTokens: 20, totalTokens: 120, cachedInputTokens: 40 },
    ],
    ['the AI SDK of old', { promptTokens: 100, completionTokens: 20, totalTokens: 120 }],
    ['Cohere', { usage: { billed_units: { input_tokens: 5, output_tokens: 10 } } }],
    ['Ollama', { prompt_eval_count: 10, eval_count: 20, done: true }],
    ['the start of a streamed message', { type: 'message_start', message: { usage: {} } }],
    ['an error', { error: { message: 'no', type: 'server_error' } }],
  ])('is not read: %s', (_name, body) => {
    expect(readers(body)).toEqual([]);
    expect(readUsage(body)).toBeNull();
  });
});
