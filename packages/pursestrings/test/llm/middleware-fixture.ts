import { generateText, streamText, wrapLanguageModel } from 'ai';
import { onTestFinished } from 'vitest';

import type { Charge } from '../../src/charge.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { purseMiddleware } from '../../src/llm/ai-sdk/middleware.ts';
import type { MiddlewareOptions } from '../../src/llm/ai-sdk/middleware.ts';
import { openPurse } from '../../src/purse.ts';
import type { Purse } from '../../src/purse.ts';
import { steps } from './fixture.ts';

Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

export type AnyModel = Parameters<typeof wrapLanguageModel>[0]['model'];
export type Wrapped = ReturnType<typeof wrapLanguageModel>;
export type CallOptions = Parameters<Wrapped['doGenerate']>[0];
export type StreamPart =
  Awaited<ReturnType<Wrapped['doStream']>>['stream'] extends ReadableStream<infer Part>
    ? Part
    : never;

export interface Desk {
  readonly purse: Purse;
  charges(): Promise<Charge[]>;
  spent(): Promise<bigint>;
  held(): Promise<bigint>;
}

export async function openDesk(limits?: readonly Limit[]): Promise<Desk> {
  const purse = await openPurse({ limits: limits ?? [{ name: 'all', cap: { usd: 10 } }] });
  onTestFinished(() => purse.close());
  const charges = async (): Promise<Charge[]> => {
    const all: Charge[] = [];
    for await (const charge of purse.journal({ order: 'oldest' })) all.push(charge);
    return all;
  };
  return {
    purse,
    charges,
    spent: async () =>
      (await charges()).reduce((sum, { amounts }) => sum + steps(amounts.usd ?? 0), 0n),
    held: async () => {
      let held = 0n;
      for await (const balance of purse.balances()) {
        if (balance.unit === 'usd') held += steps(balance.held);
      }
      return held;
    },
  };
}

export function metered(desk: Desk, model: AnyModel, options: MiddlewareOptions = {}): Wrapped {
  return wrapLanguageModel({ model, middleware: purseMiddleware(desk.purse, options) });
}

export const PROMPT = { prompt: 'Say some words', maxOutputTokens: 50, maxRetries: 0 } as const;

/** A model of somebody's own, as the specification asks for it. */
export function ownModel(
  answer: {
    readonly usage?: unknown;
    readonly error?: unknown;
    readonly more?: object;
    readonly parts?: readonly object[];
  },
  more: { readonly provider?: string; readonly modelId?: string; readonly version?: string } = {},
): Wrapped & { readonly seen: CallOptions[] } {
  const seen: CallOptions[] = [];
  const parts = answer.parts ?? [
    { type: 'stream-start', warnings: [] },
    { type: 'text-start', id: '1' },
    { type: 'text-delta', id: '1', delta: 'one two' },
    { type: 'text-end', id: '1' },
    { type: 'finish', finishReason: { unified: 'stop' }, usage: answer.usage, ...answer.more },
  ];
  const model = {
    specificationVersion: more.version ?? 'v4',
    provider: more.provider ?? 'openai.chat',
    modelId: more.modelId ?? 'gpt-4o',
    supportedUrls: {},
    seen,
    doGenerate(params: CallOptions) {
      seen.push(params);
      if (answer.error !== undefined) return Promise.reject(answer.error);
      const content = [{ type: 'text', text: 'one two' }];
      const finishReason = { unified: 'stop', raw: 'stop' };
      return Promise.resolve({
        content,
        finishReason,
        usage: answer.usage,
        warnings: [],
        ...answer.more,
      });
    },
    doStream(params: CallOptions) {
      seen.push(params);
      if (answer.error !== undefined) return Promise.reject(answer.error);
      return Promise.resolve({ stream: ReadableStream.from(parts) });
    },
  };
  return model as unknown as Wrapped & { readonly seen: CallOptions[] };
}

export async function both(model: Wrapped): Promise<void> {
  await generateText({ ...PROMPT, model });
  const { fullStream } = streamText({ ...PROMPT, model, onError: () => undefined });
  for await (const part of fullStream) if (part.type === 'error') throw part.error;
}
