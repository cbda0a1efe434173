import {
  type Attributes,
  createNoopMeter,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { withLabels } from '../../src/ambient-labels.ts';
import { PriceUnknownError } from '../../src/errors.ts';
import { callTelemetry, operationOf } from '../../src/llm/telemetry.ts';
import type { CallSpan, CallStart } from '../../src/llm/telemetry.ts';
import { openPurse } from '../../src/purse.ts';
import type { TelemetryApi } from '../../src/telemetry.ts';
import { readMetrics, readSpans } from '../telemetry-reader.ts';
import { rejection } from './fixture.ts';

const START: CallStart = {
  operation: 'chat',
  provider: 'openai',
  model: 'gpt-4o',
  url: new URL('https://api.openai.com/v1/chat/completions'),
  labels: { agent: 'a1' },
};

const ABOUT = {
  'gen_ai.operation.name': 'chat',
  'gen_ai.provider.name': 'openai',
  'gen_ai.request.model': 'gpt-4o',
  'server.address': 'api.openai.com',
  'server.port': 443,
};

function begin(more: Partial<CallStart> = {}): CallSpan {
  const span = callTelemetry()?.begin({ ...START, ...more });
  if (span === undefined) throw new Error('OpenTelemetry is not installed');
  return span;
}

function only(spans: readonly ReadableSpan[]): ReadableSpan {
  const [span, ...others] = spans;
  if (span === undefined || others.length > 0) throw new Error(`${spans.length} spans ended`);
  return span;
}

async function denialError(): Promise<unknown> {
  const purse = await openPurse({ limits: [{ name: 'day', cap: { usd: 0.25 } }] });
  onTestFinished(() => purse.close());
  return rejection(purse.reserve({ usd: 0.5 }));
}

describe('the span of a call', () => {
  it('carries what the conventions and the purse say of it', () => {
    const spans = readSpans();
    const call = begin({ streamed: true, maxOutputTokens: 500 });
    call.held('h-1', 0.01, 700);
    call.answeredBy('gpt-4o-2024-11-20');
    call.charged({
      usd: 0.004,
      price: 'genai-prices:openai/gpt-4o',
      inputTokens: 200,
      cachedInputTokens: 50,
      cacheWriteTokens: 10,
      outputTokens: 100,
      reasoningTokens: 40,
    });
    expect(spans()).toEqual([]);
    call.end();
    const span = only(spans());
    expect(span.name).toBe('chat gpt-4o');
    expect(span.kind).toBe(SpanKind.CLIENT);
    expect(span.instrumentationScope.name).toBe('pursestrings');
    expect(span.status.code).toBe(SpanStatusCode.UNSET);
    expect(span.attributes).toEqual({
      ...ABOUT,
      'gen_ai.request.max_tokens': 500,
      'gen_ai.request.stream': true,
      'gen_ai.response.model': 'gpt-4o-2024-11-20',
      'gen_ai.usage.input_tokens': 200,
      'gen_ai.usage.cache_read.input_tokens': 50,
      'gen_ai.usage.cache_creation.input_tokens': 10,
      'gen_ai.usage.output_tokens': 100,
      'gen_ai.usage.reasoning.output_tokens': 40,
      'purse.label.agent': 'a1',
      'purse.hold.id': 'h-1',
      'purse.hold.usd': 0.01,
      'purse.hold.tokens': 700,
      'purse.charge.usd': 0.004,
      'purse.charge.price': 'genai-prices:openai/gpt-4o',
    });
  });

  it('leaves out what is not known', () => {
    const spans = readSpans();
    const call = begin({ labels: {}, maxOutputTokens: null, streamed: false });
    call.charged({ usd: 0.5, price: 'prices' });
    call.end();
    expect(only(spans()).attributes).toEqual({
      ...ABOUT,
      'purse.charge.usd': 0.5,
      'purse.charge.price': 'prices',
    });
  });

  it('leaves out the server and the model where they are not known', () => {
    const spans = readSpans();
    begin({ labels: {}, url: undefined }).end();
    begin({ labels: {}, model: undefined }).end();
    const [noServer, noModel] = spans();
    expect(noServer?.name).toBe('chat gpt-4o');
    expect(noServer?.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
    });
    expect(noModel?.name).toBe('chat');
    expect(noModel?.attributes).not.toHaveProperty('gen_ai.request.model');
  });

  it('says what a sampler decides by from the start', () => {
    const seen: Attributes[] = [];
    const tracer = {
      startSpan: (_: string, { attributes }: { attributes: Attributes }) => {
        seen.push({ ...attributes });
        return trace.wrapSpanContext({ traceId: '', spanId: '', traceFlags: 0 });
      },
    };
    trace.setGlobalTracerProvider({ getTracer: () => tracer as never });
    onTestFinished(() => trace.disable());
    begin({ maxOutputTokens: 5 }).end();
    expect(seen).toEqual([{ ...ABOUT, 'gen_ai.request.max_tokens': 5 }]);
  });

  it('carries the labels around the call, and under them its own', () => {
    const spans = readSpans();
    withLabels({ agent: 'around', task: 't-9' }, () => begin().end());
    expect(only(spans()).attributes).toMatchObject({
      'purse.label.agent': 'a1',
      'purse.label.task': 't-9',
    });
  });

  it('is a child of the span around it, and the parent of what is inside', async () => {
    const spans = readSpans();
    const tracer = trace.getTracer('application');
    await tracer.startActiveSpan('agent', async (parent) => {
      const call = begin();
      const answer = await call.withSpan(async () => {
        await Promise.resolve();
        tracer.startSpan('POST').end();
        return 'answer';
      });
      expect(answer).toBe('answer');
      call.end();
      tracer.startSpan('afterwards').end();
      parent.end();
    });
    const idOf = (name: string): string | undefined =>
      spans()
        .find((span) => span.name === name)
        ?.spanContext().spanId;
    const parents = spans().map((span) => [span.name, span.parentSpanContext?.spanId]);
    expect(parents).toEqual([
      ['POST', idOf('chat gpt-4o')],
      ['chat gpt-4o', idOf('agent')],
      ['afterwards', idOf('agent')],
      ['agent', undefined],
    ]);
  });

  it('ends once, and hears nothing after that', async () => {
    const [spans, reader] = [readSpans(), readMetrics()];
    const call = begin();
    call.end();
    call.failed(500);
    call.charged({ usd: 1, price: 'prices', inputTokens: 1 });
    call.end();
    expect(only(spans()).attributes).not.toHaveProperty('error.type');
    const [[, duration] = []] = await reader.histograms('gen_ai.client.operation.duration');
    expect(duration?.count).toBe(1);
    expect(await reader.histograms('gen_ai.client.token.usage')).toEqual([]);
  });

  it.each([
    ['openai', 'https://api.openai.com', 'openai'],
    ['google', 'https://generativelanguage.googleapis.com', 'gcp.gemini'],
    ['google', 'https://europe-west1-aiplatform.googleapis.com', 'gcp.vertex_ai'],
    ['google', 'https://gateway.example.com', 'gcp.gen_ai'],
    ['aws', 'https://bedrock-runtime.eu-west-1.amazonaws.com', 'aws.bedrock'],
    ['azure', 'https://mine.openai.azure.com', 'azure.ai.openai'],
    ['mistral', 'https://api.mistral.ai', 'mistral_ai'],
    ['x-ai', 'https://api.x.ai', 'x_ai'],
    ['constructor', 'https://example.com', 'constructor'],
  ])('names the provider %s at %s as %s', (provider, url, name) => {
    const spans = readSpans();
    begin({ provider, url: new URL(url) }).end();
    expect(only(spans()).attributes['gen_ai.provider.name']).toBe(name);
  });

  it.each([
    ['http://127.0.0.1:11434/v1/chat/completions', '127.0.0.1', 11_434],
    ['http://localhost/v1', 'localhost', 80],
    ['https://example.com/v1?key=secret', 'example.com', 443],
  ])('says the server of %s', (url, address, port) => {
    const spans = readSpans();
    begin({ url: new URL(url) }).end();
    const { attributes } = only(spans());
    expect(attributes['server.address']).toBe(address);
    expect(attributes['server.port']).toBe(port);
    expect(JSON.stringify(attributes)).not.toContain('secret');
  });
});

describe('a call that was refused or failed', () => {
  it('says which limit refused it', async () => {
    const [spans, reader] = [readSpans(), readMetrics()];
    const error = await denialError();
    const call = begin();
    call.denied(error);
    call.end();
    const { attributes, status } = only(spans());
    expect(status).toEqual({ code: SpanStatusCode.ERROR, message: (error as Error).message });
    expect(attributes).toMatchObject({
      'error.type': 'BUDGET_EXCEEDED',
      'purse.denial.limit': 'day',
      'purse.denial.reason': 'exceeds',
      'purse.denial.unit': 'usd',
      'purse.denial.requested': 0.5,
      'purse.denial.available': 0.25,
    });
    expect(await reader.metric('gen_ai.client.operation.duration')).toBeUndefined();
  });

  it('says why else it was not sent', () => {
    const spans = readSpans();
    const call = begin();
    call.denied(new PriceUnknownError('gpt-9', 'No price is known'));
    call.end();
    expect(only(spans()).attributes['error.type']).toBe('PRICE_UNKNOWN');
  });

  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  it.each([
    [503, '503'],
    [new TypeError('fetch failed', { cause: refused }), 'ECONNREFUSED'],
    [refused, 'ECONNREFUSED'],
    [new TypeError('fetch failed', { cause: 'no error' }), 'TypeError'],
    [new DOMException('The user left', 'AbortError'), 'AbortError'],
    ['thrown text', '_OTHER'],
  ])('names the error %s as %s', async (problem, type) => {
    const [spans, reader] = [readSpans(), readMetrics()];
    const call = begin();
    call.failed(problem);
    call.end();
    const { attributes, status } = only(spans());
    expect(attributes['error.type']).toBe(type);
    expect(status.code).toBe(SpanStatusCode.ERROR);
    const [[about] = []] = await reader.histograms('gen_ai.client.operation.duration');
    expect(about).toEqual({ ...ABOUT, 'error.type': type });
  });
});

describe('the metrics of calls', () => {
  it('say how long each took, in seconds', async () => {
    const reader = readMetrics();
    let nowMs = 1_000;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const call = begin();
    nowMs += 2_500;
    call.answeredBy('gpt-4o-mini');
    call.charged({ usd: 1, price: 'prices' });
    call.end();
    clock.mockRestore();
    begin().end();
    const name = 'gen_ai.client.operation.duration';
    const durations = await reader.histograms(name);
    expect(durations.map(([about]) => about)).toEqual([
      { ...ABOUT, 'gen_ai.response.model': 'gpt-4o-mini' },
      ABOUT,
    ]);
    const [[, first] = []] = durations;
    expect(first?.sum).toBe(2.5);
    expect(first?.buckets.boundaries).toEqual([
      0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    ]);
    expect((await reader.metric(name))?.descriptor.unit).toBe('s');
  });

  it('say how many tokens each used, when its provider said so', async () => {
    const reader = readMetrics();
    for (const [inputTokens, outputTokens] of [
      [100, 20],
      [50, 10],
      [undefined, undefined],
    ] as const) {
      const call = begin();
      call.charged({ usd: 1, price: 'prices', inputTokens, outputTokens });
      call.end();
    }
    const usage = await reader.histograms('gen_ai.client.token.usage');
    expect(usage.map(([about, { count, sum }]) => [about, count, sum])).toEqual([
      [{ ...ABOUT, 'gen_ai.token.type': 'input' }, 2, 150],
      [{ ...ABOUT, 'gen_ai.token.type': 'output' }, 2, 30],
    ]);
    expect(usage[0]?.[1].buckets.boundaries).toEqual([
      1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
      67_108_864,
    ]);
  });

  it('carry no label of a spend: of those there may be any number', async () => {
    const reader = readMetrics();
    begin({ labels: { user: 'u-1' } }).end();
    const durations = await reader.histograms('gen_ai.client.operation.duration');
    expect(JSON.stringify(durations)).not.toContain('u-1');
  });
});

describe('telemetry that is missing or fails', () => {
  it('is null where the API is not installed', () => {
    expect(callTelemetry(null)).toBeNull();
  });

  it('costs a call nothing where no SDK is registered', () => {
    const call = begin();
    call.held('h-1', 1, 1);
    expect(call.withSpan(() => 5)).toBe(5);
    call.end();
  });

  const fails = () => {
    throw new Error('broken');
  };

  it('lets a call through whose span cannot be begun', () => {
    const api = {
      createNoopMeter,
      trace: { getTracer: fails },
      diag: { error: fails },
    } as unknown as TelemetryApi;
    const call = callTelemetry(api)?.begin(START);
    call?.held('h-1', 1, 1);
    call?.denied(new Error('refused'));
    call?.answeredBy('gpt-4o');
    call?.charged({ usd: 1, price: 'prices' });
    call?.failed(500);
    expect(call?.withSpan(() => 5)).toBe(5);
    call?.end();
  });

  it('sends a call once whose span fails', () => {
    const span = new Proxy({}, { get: () => fails });
    const api = {
      createNoopMeter,
      trace: { getTracer: () => ({ startSpan: () => ({ ...span, isRecording: () => false }) }) },
      context: { active: fails, with: fails },
      diag: { error: fails },
      SpanKind,
      SpanStatusCode,
      metrics: { getMeterProvider: fails },
    } as unknown as TelemetryApi;
    const call = callTelemetry(api)?.begin(START);
    let sent = 0;
    call?.held('h-1', 1, 1);
    expect(call?.withSpan(() => (sent += 1))).toBe(1);
    call?.charged({ usd: 1, price: 'prices' });
    call?.failed(new Error('lost'));
    call?.end();
    expect(sent).toBe(1);
  });

  it('hands on what sending throws, and does not send again', () => {
    readSpans();
    let sent = 0;
    const lost = new Error('lost');
    const send = () => {
      sent += 1;
      throw lost;
    };
    expect(() => begin().withSpan(send)).toThrow(lost);
    expect(sent).toBe(1);
  });
});

describe('operationOf', () => {
  it.each([
    ['/v1/chat/completions', 'chat'],
    ['/v1/completions', 'text_completion'],
    ['/v1/responses', 'chat'],
    ['/v1/embeddings', 'embeddings'],
    ['/v1/messages', 'chat'],
    ['/v1/images/generations', 'generate_content'],
    ['/v1/audio/speech', 'generate_content'],
    ['/v1beta/models/gemini-2.5-flash:generateContent', 'generate_content'],
    ['/v1beta/models/gemini-2.5-flash:streamGenerateContent', 'generate_content'],
    ['/v1beta/models/gemini-embedding-001:batchEmbedContents', 'embeddings'],
    ['/model/anthropic.claude-sonnet-4-5/converse', 'chat'],
    ['/openai/deployments/mine/chat/completions', 'chat'],
  ])('%s is %s', (path, operation) => {
    expect(operationOf(path)).toBe(operation);
  });
});
