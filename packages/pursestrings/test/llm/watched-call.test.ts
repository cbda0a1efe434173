import { trace } from '@opentelemetry/api';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import { LoopDetectedError } from '../../src/llm/loop-breaker.ts';
import { meteredFetch } from '../../src/llm/metered-fetch.ts';
import { readMetrics, readSpans } from '../telemetry-reader.ts';
import { ask, askStreamed, openBench, rejection, until } from './fixture.ts';

const answer = () => ({ promptTokens: 10, completionTokens: 40 });

describe('a metered call in OpenTelemetry', () => {
  it('is a span with what was held, used and charged', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer, meter: { labels: { agent: 'a1' } } });
    await bench.openai.chat.completions.create(ask());
    const [span, ...others] = spans();
    const [charge] = await bench.charges();
    expect(others).toEqual([]);
    expect(span?.name).toBe('chat gpt-4o');
    expect(span?.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.request.max_tokens': 50,
      'gen_ai.usage.input_tokens': 10,
      'gen_ai.usage.output_tokens': 40,
      'server.address': '127.0.0.1',
      'purse.label.agent': 'a1',
      'purse.hold.id': charge?.id,
      'purse.hold.usd': charge?.held?.['usd'],
      'purse.charge.usd': 0.000425,
      'purse.charge.price': 'genai-prices:openai/gpt-4o',
    });
  });

  it('is the parent of the request, and a child of what surrounds it', async () => {
    const spans = readSpans();
    const tracer = trace.getTracer('http');
    const bench = await openBench({
      answer,
      meter: {
        fetch: async (...parts) => {
          const span = tracer.startSpan('POST');
          const response = await fetch(...parts);
          span.end();
          return response;
        },
      },
    });
    await tracer.startActiveSpan('agent', async (agent) => {
      await bench.openai.chat.completions.create(ask());
      agent.end();
    });
    const ids = new Map(spans().map((span) => [span.name, span.spanContext().spanId]));
    expect(spans().map((span) => [span.name, span.parentSpanContext?.spanId])).toEqual([
      ['POST', ids.get('chat gpt-4o')],
      ['chat gpt-4o', ids.get('agent')],
      ['agent', undefined],
    ]);
  });

  it('ends with its stream', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer });
    const stream = await bench.openai.chat.completions.create(askStreamed());
    for await (const _ of stream) expect(spans()).toEqual([]);
    await until(() => spans().length === 1);
    expect(spans()[0]?.attributes).toMatchObject({
      'gen_ai.request.stream': true,
      'gen_ai.usage.output_tokens': 40,
      'purse.charge.usd': 0.000425,
    });
  });

  it('ends when its stream is left, charged without a usage', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer: () => ({ chunkDelayMs: 5 }) });
    const stream = await bench.openai.chat.completions.create(askStreamed());
    for await (const _ of stream) break;
    await until(() => spans().length === 1);
    const attributes = spans()[0]?.attributes;
    expect(attributes).not.toHaveProperty('error.type');
    expect(attributes?.['purse.charge.usd']).toBe(attributes?.['purse.hold.usd']);
    expect(attributes).not.toHaveProperty('gen_ai.usage.output_tokens');
  });

  it('says what refused it, and how it failed', async () => {
    const spans = readSpans();
    const poor = await openBench({ limits: [{ name: 'poor', cap: { usd: 0 } }] });
    await rejection(Promise.resolve(poor.openai.chat.completions.create(ask())));
    const broken = await openBench({ answer: () => ({ status: 500 }) });
    await rejection(Promise.resolve(broken.openai.chat.completions.create(ask())));
    const cut = await openBench({ answer: () => ({ cut: 'before-headers' as const }) });
    await rejection(Promise.resolve(cut.openai.chat.completions.create(ask())));
    const [denied, failed, lost] = spans().map(({ attributes }) => attributes);
    expect(denied).toMatchObject({ 'error.type': 'BUDGET_EXCEEDED', 'purse.denial.limit': 'poor' });
    expect(failed).toMatchObject({ 'error.type': '500' });
    expect(failed).not.toHaveProperty('purse.charge.usd');
    expect(lost?.['error.type']).toBeTypeOf('string');
    expect(lost?.['purse.charge.usd']).toBe(lost?.['purse.hold.usd']);
  });

  it('says why it was refused before there was a price, or a request to be read', async () => {
    const spans = readSpans();
    const bench = await openBench({ meter: { labels: { agent: 'a1' } } });
    const post = (body: string, labels: string = 'task=t-9'): Promise<Response> =>
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body,
        headers: { 'x-purse-labels': labels },
      });
    await post(JSON.stringify(ask({ model: 'nobody-1' })));
    await post('not a request');
    await post(JSON.stringify(ask()), 'no label');
    const [unknown, unreadable, unlabelled] = spans().map(({ attributes }) => attributes);
    expect(unknown).toMatchObject({
      'error.type': 'PRICE_UNKNOWN',
      'gen_ai.request.model': 'nobody-1',
      'server.address': '127.0.0.1',
      'purse.label.agent': 'a1',
      'purse.label.task': 't-9',
    });
    expect(unreadable).toMatchObject({ 'error.type': 'UNREADABLE_REQUEST' });
    expect(unlabelled).toMatchObject({
      'error.type': 'INVALID_LABEL',
      'gen_ai.request.model': 'gpt-4o',
    });
    expect(spans().map(({ name }) => name)).toEqual(['chat nobody-1', 'chat', 'chat gpt-4o']);
    expect(bench.provider.requests).toBe(0);
  });

  it('says that its answer broke off, whole or streamed', async () => {
    const spans = readSpans();
    const bench = await openBench({ answer: () => ({ cutAfterChunks: 3 }) });
    const stream = await bench.openai.chat.completions.create(askStreamed());
    await rejection(Array.fromAsync(stream));
    await until(() => spans().length === 1);
    const whole = await openBench({
      meter: {
        fetch: () => {
          const broken = new ReadableStream({
            pull: (controller) => controller.error(new RangeError('It broke')),
          });
          return Promise.resolve(new Response(broken));
        },
      },
    });
    await rejection(Promise.resolve(whole.openai.chat.completions.create(ask())));
    expect(spans()).toHaveLength(2);
    const [cut, broken] = spans().map(({ attributes }) => attributes);
    expect(cut?.['error.type']).toBeTypeOf('string');
    expect(cut?.['purse.charge.usd']).toBe(cut?.['purse.hold.usd']);
    expect(broken?.['error.type']).toBe('RangeError');
  });

  it('is measured by the conventions', async () => {
    const reader = readMetrics();
    const bench = await openBench({ answer });
    await bench.openai.chat.completions.create(ask());
    const tokens = await reader.histograms('gen_ai.client.token.usage');
    expect(tokens.map(([about, { sum }]) => [about['gen_ai.token.type'], sum])).toEqual([
      ['input', 10],
      ['output', 40],
    ]);
    expect(await reader.histograms('gen_ai.client.operation.duration')).toHaveLength(1);
  });

  it('ends where it was aborted before it was sent', async () => {
    const spans = readSpans();
    const bench = await openBench({ meter: { onDenied: 'throw' } });
    const call = bench.fetch(`${bench.provider.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(ask()),
      signal: AbortSignal.abort(),
    });
    expect(await rejection(call)).toMatchObject({ name: 'AbortError' });
    expect(spans().map(({ attributes }) => attributes['error.type'])).toEqual(['AbortError']);
    expect(bench.provider.requests).toBe(0);
  });
});

describe('a metered call in a loop', () => {
  it('is stopped before it is sent or held, with one error that says so', async () => {
    const bench = await openBench({
      answer,
      meter: { loopBreaker: { repeats: 2 }, labels: { task: 't-9' } },
      client: { maxRetries: 5 },
    });
    const again = () => bench.openai.chat.completions.create(ask());
    await again();
    await again();
    const error = await rejection(Promise.resolve(again()));
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect((error as Error).message).toContain('went out 2 times within 60 s');
    expect(bench.provider.requests).toBe(2);
    expect(await bench.charges()).toHaveLength(2);
    expect(await bench.heldSteps()).toBe(0n);
    await bench.openai.chat.completions.create(ask({ max_completion_tokens: 49 }));
    const headers = { 'x-purse-labels': 'task=t-10' };
    await bench.openai.chat.completions.create(ask(), { headers });
    expect(bench.provider.requests).toBe(4);
  });

  it('counts the retries of an SDK among its failures', async () => {
    const bench = await openBench({
      answer: () => ({ status: 500, retryAfterSeconds: 0 }),
      meter: { loopBreaker: { failures: 3 }, onDenied: 'throw' },
      client: { maxRetries: 2 },
    });
    await rejection(Promise.resolve(bench.openai.chat.completions.create(ask())));
    expect(bench.provider.requests).toBe(3);
    const error = await rejection(
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask()),
      }),
    );
    expect(LoopDetectedError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ failures: 3, labels: {} });
    expect(bench.provider.requests).toBe(3);
  });

  it('counts a call that never arrived as failed, and an answer as a success', async () => {
    let online = false;
    const bench = await openBench({
      answer,
      meter: {
        loopBreaker: { failures: 2 },
        onDenied: 'throw',
        fetch: (...parts) =>
          online ? fetch(...parts) : Promise.reject(new TypeError('fetch failed')),
      },
    });
    const go = () =>
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask()),
      });
    expect(await rejection(go())).toBeInstanceOf(TypeError);
    online = true;
    expect((await go()).status).toBe(200);
    online = false;
    expect(await rejection(go())).toBeInstanceOf(TypeError);
    expect(await rejection(go())).toBeInstanceOf(TypeError);
    expect(await rejection(go())).toBeInstanceOf(LoopDetectedError);
  });

  it('counts no call that the purse refused', async () => {
    const bench = await openBench({
      answer,
      limits: [{ name: 'all', cap: { usd: 0 } }],
      meter: { loopBreaker: { repeats: 1 }, onDenied: 'throw' },
    });
    const go = () =>
      bench.fetch(`${bench.provider.url}/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(ask()),
      });
    expect(await rejection(go())).toBeInstanceOf(BudgetExceededError);
    expect(await rejection(go())).toBeInstanceOf(BudgetExceededError);
    await bench.purse.setLimit({ name: 'all', cap: { usd: 1 } });
    expect((await go()).status).toBe(200);
    expect(await rejection(go())).toBeInstanceOf(LoopDetectedError);
  });

  it('is checked when the fetch is made', async () => {
    const { purse } = await openBench();
    expect(() => meteredFetch(purse, { loopBreaker: {} })).toThrow('`repeats` or `failures`');
  });
});
