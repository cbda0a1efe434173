import { describe, expect, it } from 'vitest';

import { readMetrics, readSpans } from '../telemetry-reader.ts';
import { openPeerLedger } from './peers/peer-ledger.ts';
import { recordedPeer } from './recorded-peer.ts';

const CHAT_USAGE = { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 };
const RESPONSE_USAGE = { input_tokens: 10, output_tokens: 2, total_tokens: 12 };
const ANTHROPIC_USAGE = { input_tokens: 10, output_tokens: 2 };
const GEMINI_USAGE = { promptTokenCount: 10, candidatesTokenCount: 2, totalTokenCount: 12 };

interface Case {
  readonly url: string;
  readonly streamUrl?: string;
  readonly request: object;
  readonly json: object;
  readonly events: readonly object[];
  readonly model: string;
}

const response = { id: 'resp_1', object: 'response', model: 'gpt-4o-2024-11-20', output: [] };
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-haiku-4-5-20251001',
  content: [{ type: 'text', text: '"model":"no-model"' }],
};
const candidates = [
  { content: { parts: [{ text: '"modelVersion":"none"' }] }, finishReason: 'STOP' },
];

/** The wire formats as `hosts.test.ts`, `anthropic-sdk.test.ts` and `gemini.test.ts` name them. */
const CASES: Readonly<Record<string, Case>> = {
  'a chat completion': {
    url: 'https://api.openai.com/v1/chat/completions',
    request: { model: 'gpt-4o', max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }] },
    json: { model: 'gpt-4o-2024-11-20', choices: [], usage: CHAT_USAGE },
    events: [
      { model: '', choices: [], prompt_filter_results: [] },
      {
        model: 'gpt-4o-2024-11-20',
        choices: [{ index: 0, delta: { content: '"model":"no-model"' } }],
      },
      { model: 'gpt-4o-2024-11-20', choices: [], usage: CHAT_USAGE },
    ],
    model: 'gpt-4o-2024-11-20',
  },
  'a completion': {
    url: 'https://api.openai.com/v1/completions',
    request: { model: 'gpt-3.5-turbo-instruct', max_tokens: 50, prompt: 'Hi' },
    json: { model: 'gpt-3.5-turbo-instruct:2', choices: [], usage: CHAT_USAGE },
    events: [{ model: 'gpt-3.5-turbo-instruct:2', choices: [], usage: CHAT_USAGE }],
    model: 'gpt-3.5-turbo-instruct:2',
  },
  'a response': {
    url: 'https://api.openai.com/v1/responses',
    request: { model: 'gpt-4o', max_output_tokens: 50, input: 'Hi' },
    json: { ...response, status: 'completed', usage: RESPONSE_USAGE },
    events: [
      { type: 'response.created', response: { ...response, status: 'in_progress' } },
      {
        type: 'response.completed',
        response: { ...response, status: 'completed', usage: RESPONSE_USAGE },
      },
    ],
    model: 'gpt-4o-2024-11-20',
  },
  'a message of Anthropic': {
    url: 'https://api.anthropic.com/v1/messages',
    request: {
      model: 'claude-haiku-4-5',
      max_tokens: 50,
      messages: [{ role: 'user', content: 'Hi' }],
    },
    json: { ...message, usage: ANTHROPIC_USAGE },
    events: [
      { type: 'message_start', message: { ...message, content: [], usage: ANTHROPIC_USAGE } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
      { type: 'message_stop' },
    ],
    model: 'claude-haiku-4-5-20251001',
  },
  'an answer of Gemini': {
    url: 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent',
    streamUrl:
      'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
    request: { contents: [{ parts: [{ text: 'Hi' }] }], generationConfig: { maxOutputTokens: 50 } },
    json: { candidates, usageMetadata: GEMINI_USAGE, modelVersion: 'gemini-2.5-flash-001' },
    events: [{ candidates, usageMetadata: GEMINI_USAGE, modelVersion: 'gemini-2.5-flash-001' }],
    model: 'gemini-2.5-flash-001',
  },
};

describe.each(Object.entries(CASES))('the span of %s', (_name, told) => {
  it.each([['JSON', false] as const, ['streamed', true] as const])(
    'says which model answered, %s',
    async (_how, stream) => {
      const [spans, reader] = [readSpans(), readMetrics()];
      const peer = await recordedPeer(() =>
        stream ? { events: told.events } : { json: told.json },
      );
      const ledger = await openPeerLedger(peer.url);
      const url = stream ? (told.streamUrl ?? told.url) : told.url;
      const asks = stream && told.streamUrl === undefined ? { stream } : {};
      const body = JSON.stringify({ ...told.request, ...asks });
      await (await ledger.fetch(url, { method: 'POST', body })).text();
      const [span] = spans();
      expect(span?.attributes).toMatchObject({
        'gen_ai.response.model': told.model,
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.output_tokens': 2,
      });
      expect(span?.attributes).not.toHaveProperty('error.type');
      const [[about] = []] = await reader.histograms('gen_ai.client.operation.duration');
      expect(about?.['gen_ai.response.model']).toBe(told.model);
      // The charge is of the model that was asked for, by whose price it was paid.
      const [charge] = await ledger.charges();
      expect(charge?.labels.model).not.toBe(told.model);
    },
  );
});
