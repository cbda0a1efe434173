import { SpanStatusCode, trace } from '@opentelemetry/api';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';
import { describe, expect, it } from 'vitest';

import { readMetrics, readSpans } from '../telemetry-reader.ts';
import { billedSteps, openBench, rejection, until } from './fixture.ts';
import { metered, openDesk, ownModel, PROMPT } from './middleware-fixture.ts';
import type { AnyModel } from './middleware-fixture.ts';

const answer = () => ({ promptTokens: 10, completionTokens: 40 });

/** The usage of a model of somebody's own. */
const usage = { inputTokens: { total: 10 }, outputTokens: { total: 40 } };

async function stream(model: AnyModel): Promise<void> {
  const { fullStream } = streamText({ ...PROMPT, model, onError: () => undefined });
  for await (const part of fullStream) if (part.type === 'error') throw part.error;
}

describe('a call by the middleware in OpenTelemetry', () => {
  it.each([false, true])(
    'is a span of what was held and charged, streamed: %s',
    async (streamed) => {
      const [spans, reader] = [readSpans(), readMetrics()];
      const bench = await openBench({ answer });
      const desk = { purse: bench.purse } as Awaited<ReturnType<typeof openDesk>>;
      const openai = createOpenAI({ apiKey: 'none', baseURL: bench.provider.url });
      const model = metered(desk, openai.chat('gpt-4o'), { labels: { agent: 'a1' } });
      if (streamed) await stream(model);
      else await generateText({ ...PROMPT, model });
      const [span, ...others] = spans();
      const [charge] = await bench.charges();
      expect(others).toEqual([]);
      expect(span?.name).toBe('chat gpt-4o');
      expect(span?.attributes).toEqual({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.request.max_tokens': 50,
        ...(streamed ? { 'gen_ai.request.stream': true } : {}),
        'gen_ai.response.model': 'gpt-4o',
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.output_tokens': 40,
        'gen_ai.usage.cache_read.input_tokens': 0,
        'gen_ai.usage.cache_creation.input_tokens': 0,
        'gen_ai.usage.reasoning.output_tokens': 0,
        'purse.label.agent': 'a1',
        'purse.hold.id': charge?.id,
        'purse.hold.usd': charge?.held?.usd,
        'purse.hold.tokens': charge?.held?.tokens,
        'purse.charge.usd': 0.000425,
        'purse.charge.price': 'genai-prices:openai/gpt-4o',
      });
      expect(await reader.histograms('gen_ai.client.operation.duration')).toHaveLength(1);
      expect(await bench.spentSteps()).toBe(billedSteps(bench.provider));
    },
  );

  it('is the parent of the request', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer });
    const traced: typeof fetch = async (input, init) => {
      const span = trace.getTracer('http').startSpan('POST');
      const response = await fetch(input, init);
      span.end();
      return response;
    };
    const openai = createOpenAI({ apiKey: 'none', baseURL: bench.provider.url, fetch: traced });
    const desk = { purse: bench.purse } as Awaited<ReturnType<typeof openDesk>>;
    await generateText({ ...PROMPT, model: metered(desk, openai.chat('gpt-4o')) });
    const [request, call] = spans();
    expect([request?.name, call?.name]).toEqual(['POST', 'chat gpt-4o']);
    expect(request?.parentSpanContext?.spanId).toBe(call?.spanContext().spanId);
  });

  it('is one span where a metered fetch is inside', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer });
    const { fetch: send, provider, purse } = bench;
    const openai = createOpenAI({ apiKey: 'none', baseURL: provider.url, fetch: send });
    const desk = { purse } as Awaited<ReturnType<typeof openDesk>>;
    await generateText({ ...PROMPT, model: metered(desk, openai.chat('gpt-4o')) });
    expect(spans()).toHaveLength(1);
  });

  it.each([
    ['google.generative-ai', 'gemini-2.5-flash', 'gcp.gemini'],
    ['google.vertex.chat', 'gemini-2.5-flash', 'gcp.vertex_ai'],
    ['amazon-bedrock', 'anthropic.claude-haiku-4-5-20251001-v1:0', 'aws.bedrock'],
    ['mistral.chat', 'mistral-large-2512', 'mistral_ai'],
  ])('names who is called by %s', async (provider, modelId, name) => {
    const spans = readSpans();
    const desk = await openDesk();
    const model = metered(desk, ownModel({ usage }, { provider, modelId }));
    await generateText({ ...PROMPT, model });
    expect(spans()[0]?.attributes['gen_ai.provider.name']).toBe(name);
  });

  it('says what refused it', async () => {
    const spans = readSpans();
    const poor = await openDesk([{ name: 'poor', cap: { usd: 0 } }]);
    const refused = (model: AnyModel, more: object = {}): Promise<unknown> =>
      rejection(generateText({ ...PROMPT, ...more, model }));
    await refused(metered(poor, ownModel({ usage })));
    await refused(metered(poor, ownModel({ usage }, { modelId: 'nobody-1' })));
    const broken = { providerOptions: { purse: { labels: 5 } } };
    await refused(metered(poor, ownModel({ usage })), broken);
    expect(spans().map(({ attributes }) => attributes)).toMatchObject([
      { 'error.type': 'BUDGET_EXCEEDED', 'purse.denial.limit': 'poor' },
      { 'error.type': 'PRICE_UNKNOWN', 'gen_ai.request.model': 'nobody-1' },
      { 'error.type': 'INVALID_LABEL', 'gen_ai.request.model': 'gpt-4o' },
    ]);
  });

  it('says how it failed', async () => {
    const spans = readSpans();
    const desk = await openDesk();
    const refused = Object.assign(new Error('No'), { statusCode: 503 });
    await rejection(
      generateText({ ...PROMPT, model: metered(desk, ownModel({ error: refused })) }),
    );
    const lost = new TypeError('fetch failed');
    await rejection(generateText({ ...PROMPT, model: metered(desk, ownModel({ error: lost })) }));
    const aborted = metered(desk, ownModel({ usage }));
    const abort = new AbortController();
    const reserve = desk.purse.reserve.bind(desk.purse);
    desk.purse.reserve = async (...given) => {
      const hold = await reserve(...given);
      abort.abort();
      return hold;
    };
    await rejection(generateText({ ...PROMPT, model: aborted, abortSignal: abort.signal }));
    expect(spans().map(({ attributes }) => attributes['error.type'])).toEqual([
      '503',
      'TypeError',
      'AbortError',
    ]);
    expect(spans()[0]?.status.code).toBe(SpanStatusCode.ERROR);
  });

  it('says that its stream told of an error', async () => {
    const spans = readSpans();
    const desk = await openDesk();
    const error = Object.assign(new Error('Overloaded'), { code: 'overloaded_error' });
    const parts = [
      { type: 'stream-start', warnings: [] },
      { type: 'error', error },
    ];
    await rejection(stream(metered(desk, ownModel({ parts }))));
    await until(() => spans().length === 1);
    expect(spans()[0]?.attributes['error.type']).toBe('overloaded_error');
  });

  it('says that its stream broke', async () => {
    const spans = readSpans();
    const desk = await openDesk();
    const model = ownModel({});
    let pulls = 0;
    const broken = new ReadableStream({
      pull(controller) {
        pulls += 1;
        if (pulls > 1) controller.error(new RangeError('It broke'));
        else controller.enqueue({ type: 'stream-start', warnings: [] });
      },
    });
    model.doStream = () => Promise.resolve({ stream: broken });
    await rejection(stream(metered(desk, model)));
    await until(() => spans().length === 1);
    expect(spans()[0]?.attributes['error.type']).toBe('RangeError');
  });
});
