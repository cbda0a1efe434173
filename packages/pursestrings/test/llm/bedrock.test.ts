import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import {
  BedrockRuntimeClient,
  BedrockRuntimeServiceException,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
} from '@aws-sdk/client-bedrock-runtime';
import type { ConverseCommandInput } from '@aws-sdk/client-bedrock-runtime';
import { FetchHttpHandler } from '@smithy/fetch-http-handler';
import { generateText, streamText } from 'ai';
import { describe, expect, it } from 'vitest';

import { BudgetExceededError } from '../../src/errors.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { estimateCall, readUsage } from '../../src/llm/index.ts';
import type { MeterOptions, PriceBook } from '../../src/llm/index.ts';
import { rejection, until } from './fixture.ts';
import { bedrockPeer } from './peers/bedrock-peer.ts';
import type { BedrockAnswer, BedrockPeer, BedrockRequest } from './peers/bedrock-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';
import type { PeerLedger } from './peers/peer-ledger.ts';

const MODEL = 'us.amazon.nova-pro-v1:0';
const CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0';

/**
 * USD for a million tokens in us-east-1: https://aws.amazon.com/bedrock/pricing/, as
 * https://github.com/pydantic/genai-prices has it on 2026-11-22; the page itself is a script.
 */
const RATES = { input: picos('0.8'), output: picos('3.2') };

const USAGE = { inputTokens: 12, outputTokens: 5, totalTokens: 17 };
const BILL = 12n * RATES.input + 5n * RATES.output;
const ANSWER: BedrockAnswer = { usage: USAGE, picos: BILL };
const HELD = stepsOf(100n * RATES.output);

interface Desk extends PeerLedger {
  readonly peer: BedrockPeer;
  readonly aws: BedrockRuntimeClient;
}

interface DeskOptions {
  readonly answer?: (request: BedrockRequest) => BedrockAnswer;
  readonly limits?: readonly Limit[];
  readonly meter?: MeterOptions;
}

async function openDesk(options: DeskOptions = {}): Promise<Desk> {
  const peer = await bedrockPeer(options.answer ?? (() => ANSWER));
  const ledger = await openPeerLedger(peer.url, options);
  return { ...ledger, peer, aws: client(ledger.fetch) };
}

function client(metered: typeof fetch): BedrockRuntimeClient {
  return new BedrockRuntimeClient({
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    requestHandler: new FetchHttpHandler({ customFetch: metered }),
  });
}

const ASK: ConverseCommandInput = {
  modelId: MODEL,
  messages: [{ role: 'user', content: [{ text: 'Say some words' }] }],
  inferenceConfig: { maxTokens: 100 },
};
const POOR: readonly Limit[] = [{ name: 'all', cap: { usd: 0.0001 } }];

async function textOf(aws: BedrockRuntimeClient): Promise<string> {
  const { stream } = await aws.send(new ConverseStreamCommand(ASK));
  let text = '';
  for await (const event of stream ?? []) text += event.contentBlockDelta?.delta?.text ?? '';
  return text;
}

describe('the SDK of AWS, by a request handler on a metered fetch', () => {
  it('is charged what was billed, whole and streamed, and keeps its signature', async () => {
    const desk = await openDesk();
    const answer = await desk.aws.send(new ConverseCommand(ASK));
    expect(answer.output?.message?.content?.[0]?.text).toBe('one two');
    expect(answer.usage).toMatchObject(USAGE);
    expect(await textOf(desk.aws)).toBe('one two');
    expect(await desk.spentSteps()).toBe(2n * stepsOf(BILL));
    expect(await desk.heldSteps()).toBe(0n);
    for (const { headers, modelId } of desk.peer.requests) {
      expect(headers.authorization).toMatch(/^AWS4-HMAC-SHA256 /);
      expect(decodeURIComponent(modelId)).toBe(MODEL);
    }
    expect(JSON.stringify(await desk.charges())).not.toContain('AWS4');
  });

  it('raises its own error at once when denied, which tells the denial', async () => {
    const desk = await openDesk({ limits: POOR });
    for (const command of [new ConverseCommand(ASK), new ConverseStreamCommand(ASK)]) {
      const error = await rejection(desk.aws.send(command as ConverseCommand));
      expect(error).toBeInstanceOf(BedrockRuntimeServiceException);
      expect((error as Error).name).toBe('BudgetExceededException');
      expect(BudgetExceededError.from(error)?.denial).toMatchObject({ limit: 'all', cap: 0.0001 });
    }
    expect(desk.peer.requests).toEqual([]);
  });

  it('recovers the denial under onDenied: throw', async () => {
    const desk = await openDesk({ limits: POOR, meter: {} });
    const throwing = await openPeerLedger(desk.peer.url, {
      limits: POOR,
      meter: { onDenied: 'throw' },
    });
    const error = await rejection(client(throwing.fetch).send(new ConverseCommand(ASK)));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(desk.peer.requests).toEqual([]);
  });

  it('is not clamped, as its requests are signed', async () => {
    const desk = await openDesk({ limits: POOR, meter: { whenTight: 'clamp' } });
    const error = await rejection(desk.aws.send(new ConverseCommand(ASK)));
    expect(BudgetExceededError.from(error)).not.toBeNull();
  });

  it('is not charged for an error, and is for what it tries again', async () => {
    const desk = await openDesk({
      answer: ({ number }) => (number === 1 ? { status: 503 } : ANSWER),
    });
    await desk.aws.send(new ConverseCommand(ASK));
    expect(desk.peer.requests).toHaveLength(2);
    expect(await desk.spentSteps()).toBe(stepsOf(BILL));
  });

  it('is charged the hold for an answer or a stream that was cut', async () => {
    const desk = await openDesk({
      answer: ({ number }) => ({ ...ANSWER, cutAfterEvents: number - 1 }),
    });
    desk.aws.config.maxAttempts = () => Promise.resolve(1);
    await rejection(desk.aws.send(new ConverseCommand(ASK)));
    await rejection(textOf(desk.aws));
    await until(async () => (await desk.charges()).length === 2);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(2n * HELD);
    expect(await desk.heldSteps()).toBe(0n);
  });

  it('is charged the hold for a stream that is aborted', async () => {
    const desk = await openDesk({ answer: () => ({ ...ANSWER, stallAfterEvents: 2 }) });
    const left = new AbortController();
    const { stream } = await desk.aws.send(new ConverseStreamCommand(ASK), {
      abortSignal: left.signal,
    });
    for await (const event of stream ?? []) {
      if (event.contentBlockDelta === undefined) continue;
      left.abort();
      break;
    }
    await until(async () => (await desk.charges()).length === 1);
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(HELD);
    expect(await desk.heldSteps()).toBe(0n);
  });

  it('keeps the hold of a stream that it stops to read, to be charged as it expires', async () => {
    const answers: readonly BedrockAnswer[] = [
      { exception: 'modelStreamErrorException' },
      { ...ANSWER, stallAfterEvents: 2 },
    ];
    const desk = await openDesk({ answer: ({ number }) => answers[number - 1] ?? ANSWER });
    await rejection(textOf(desk.aws));
    const { stream } = await desk.aws.send(new ConverseStreamCommand(ASK));
    for await (const event of stream ?? []) {
      if (event.contentBlockDelta !== undefined) break;
    }
    const spent = await desk.spentSteps();
    expect(spent + (await desk.heldSteps())).toBeGreaterThanOrEqual(2n * HELD);
  });

  it('is refused by name what is not Converse', async () => {
    const desk = await openDesk();
    const command = new InvokeModelCommand({ modelId: CLAUDE, body: '{}' });
    const error = await rejection(desk.aws.send(command));
    expect(error).toMatchObject({ name: 'ValidationException' });
    expect((error as Error).message).toContain('/invoke would spend unmetered');
    expect(desk.peer.requests).toEqual([]);
  });
});

describe('the SDK of Vercel for Bedrock', () => {
  const settings = { region: 'us-east-1', accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };

  it('is charged what was billed, whole and streamed', async () => {
    const desk = await openDesk();
    const model = createAmazonBedrock({ ...settings, fetch: desk.fetch })(MODEL);
    await generateText({ model, prompt: 'Hi', maxOutputTokens: 100 });
    const streamed = streamText({ model, prompt: 'Hi', maxOutputTokens: 100 });
    expect(await streamed.text).toBe('one two');
    expect(await desk.spentSteps()).toBe(2n * stepsOf(BILL));
  });

  it('that is denied is not tried again', async () => {
    const desk = await openDesk({ limits: POOR });
    const model = createAmazonBedrock({ ...settings, fetch: desk.fetch })(MODEL);
    const error = await rejection(generateText({ model, prompt: 'Hi', maxOutputTokens: 100 }));
    expect(BudgetExceededError.from(error)?.denial.limit).toBe('all');
    expect(desk.peer.requests).toEqual([]);
  });

  it('is clamped where a key takes the place of a signature', async () => {
    const limits = [{ name: 'all', cap: { usd: 0.0005 } }];
    const desk = await openDesk({ limits, meter: { whenTight: 'clamp' } });
    const bedrock = createAmazonBedrock({ region: 'us-east-1', apiKey: 'none', fetch: desk.fetch });
    await generateText({ model: bedrock(MODEL), prompt: 'Hi', maxOutputTokens: 9_000 });
    const config = desk.peer.requests[0]?.body.inferenceConfig as { maxTokens: number };
    expect(config.maxTokens).toBeGreaterThan(16);
    expect(config.maxTokens).toBeLessThan(160);
  });
});

describe('a Converse call', () => {
  it.each([
    [
      'a profile of one’s own',
      'arn:aws:bedrock:us-east-1:1:application-inference-profile/ab1c',
      {},
    ],
    [
      'a model of one’s own',
      'arn:aws:bedrock:us-east-1:1:custom-model/claude-3-5-haiku-20241022/a',
      {},
    ],
    ['capacity of one’s own', `arn:aws:bedrock:us-east-1:1:provisioned-model/${MODEL}`, {}],
    ['a prompt router', 'arn:aws:bedrock:us-east-1:1:default-prompt-router/anthropic.claude:1', {}],
    ['an unknown model', 'acme.none-v1:0', {}],
    ['the priority tier', MODEL, { serviceTier: { type: 'priority' } }],
    ['reserved capacity', MODEL, { serviceTier: { type: 'reserved' } }],
    ['optimized latency', MODEL, { performanceConfig: { latency: 'optimized' } }],
    [
      'a guardrail',
      MODEL,
      { guardrailConfig: { guardrailIdentifier: 'g', guardrailVersion: '1' } },
    ],
    [
      'a tool of AWS',
      MODEL,
      { toolConfig: { tools: [{ systemTool: { name: 'nova_grounding' } }] } },
    ],
  ])('whose price nobody knows is refused: %s', async (_, modelId, more) => {
    const desk = await openDesk();
    const error = await rejection(
      desk.aws.send(new ConverseCommand({ ...ASK, ...more, modelId } as ConverseCommandInput)),
    );
    expect(error).toMatchObject({ name: 'ValidationException' });
    expect((error as Error).message).toMatch(/No price is known/);
    expect(desk.peer.requests).toEqual([]);
  });

  it('has the price that the user gives its ARN', async () => {
    const arn = 'arn:aws:bedrock:us-east-1:1:application-inference-profile/ab1c';
    const prices = { [arn]: { usdPerMillion: { input: '0.8', output: '3.2' } } };
    const desk = await openDesk({ meter: { prices } });
    await desk.aws.send(new ConverseCommand({ ...ASK, modelId: arn }));
    expect(await desk.spentSteps()).toBe(stepsOf(BILL));
  });

  it('is estimated by the input of the SDK, and no other operation is', async () => {
    const prices = { [MODEL]: { usdPerMillion: { input: '0.8', output: '3.2' } } };
    expect((await estimateCall(ASK, { prices })).outputTokens).toBe(100);
    const invoke = { modelId: MODEL, body: '{}' };
    await expect(estimateCall(invoke, { prices })).rejects.toThrow(/no format/);
  });

  it('without a cap is held at what the model writes at most', async () => {
    const { modelId, messages } = ASK;
    expect((await estimate({ modelId: CLAUDE, messages })).outputTokens).toBe(64_000);
    const fields = { max_tokens: 500 };
    const { outputTokens } = await estimate({
      modelId,
      messages,
      additionalModelRequestFields: fields,
    });
    expect(outputTokens).toBe(10_000);
    const both = await estimate({ ...ASK, additionalModelRequestFields: fields });
    expect(both.outputTokens).toBe(500);
  });

  it('is held at the window for what has no bound', async () => {
    const bytes = 'AAAA';
    const document = { document: { format: 'pdf', name: 'a', source: { bytes } } };
    const messages = [{ role: 'user', content: [document] }];
    expect((await estimate({ modelId: CLAUDE, messages })).inputTokens).toBe(200_000);
    const additionalModelRequestFields = { anthropic_beta: ['context-1m-2025-08-07'] };
    const asked = { modelId: CLAUDE, messages, additionalModelRequestFields };
    await expect(estimate(asked)).rejects.toThrow(/the service tier `context-1m`/);
    const usdPerMillion = { input: '6.6', output: '24.75' };
    const serviceTiers = { 'context-1m': usdPerMillion };
    const priced = await estimate(asked, { [CLAUDE]: { usdPerMillion, serviceTiers } });
    expect(priced.inputTokens).toBe(1_000_000);
    const image = [{ image: { format: 'png', source: { bytes } } }];
    const nova = await estimate({ modelId: MODEL, messages: [{ role: 'user', content: image }] });
    expect(nova.inputTokens).toBe(300_000);
    const claude = await estimate({
      modelId: CLAUDE,
      messages: [{ role: 'user', content: image }],
    });
    expect(claude.inputTokens).toBeLessThan(6_000);
  });

  it.each([
    ['no cache', [], '3.3'],
    ['a cache of five minutes', [{ cachePoint: { type: 'default' } }], '4.125'],
    ['a cache of an hour', [{ cachePoint: { type: 'default', ttl: '1h' } }], '6.6'],
  ])('is held at the dearest rate of its input: %s', async (_, points, rate) => {
    const system = [{ text: 'Be brief' }, ...points];
    const { usd, inputTokens } = await estimate({ ...ASK, modelId: CLAUDE, system });
    const held = stepsOf(BigInt(inputTokens) * picos(rate) + 100n * picos('16.5'));
    expect(BigInt(Math.round(usd * 1e8))).toBe(held);
  });
});

/** An estimate by the body as it is sent, at Bedrock's own host. */
function estimate(
  body: Readonly<Record<string, unknown>>,
  prices: PriceBook = {},
): ReturnType<typeof estimateCall> {
  const host = 'https://bedrock-runtime.us-east-1.amazonaws.com';
  const url = `${host}/model/${encodeURIComponent(String(body.modelId))}/converse`;
  return estimateCall(body, { url, prices });
}

describe('a usage of Bedrock that cannot be right', () => {
  it.each([
    ['negative', { ...USAGE, outputTokens: -5 }],
    ['a text', { ...USAGE, inputTokens: '12' }],
    ['no total', { inputTokens: 12, outputTokens: 5 }],
    ['a total that is no number', { ...USAGE, totalTokens: 'many' }],
    ['a fraction read from a cache', { ...USAGE, cacheReadInputTokens: 0.5 }],
    [
      'more kept for an hour than written',
      { ...USAGE, cacheDetails: [{ ttl: '1h', inputTokens: 1 }] },
    ],
    ['empty', { inputTokens: 0, outputTokens: 0, totalTokens: 0 }],
    ['none', undefined],
  ])('is charged as the hold: %s', async (_, usage) => {
    expect(readUsage({ usage })).toBeNull();
    const desk = await openDesk({ answer: () => ({ usage }) });
    for (const operation of ['converse', 'converse-stream']) {
      const url = `${desk.peer.url}/model/${encodeURIComponent(MODEL)}/${operation}`;
      const response = await desk.fetch(url, { method: 'POST', body: JSON.stringify(ASK) });
      await response.arrayBuffer();
    }
    expect(await desk.spentSteps()).toBeGreaterThanOrEqual(2n * HELD);
  });

  it('does not claim the usage of another format', () => {
    const vercel = { inputTokens: 12, outputTokens: 5, totalTokens: 17, cachedInputTokens: 3 };
    expect(readUsage(vercel)).toBeNull();
    expect(readUsage(USAGE)).toMatchObject({ inputTokens: 12, outputTokens: 5 });
  });
});
