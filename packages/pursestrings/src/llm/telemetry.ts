import type * as Api from '@opentelemetry/api';

import { labelsAround } from '../ambient-labels.ts';
import { BudgetExceededError } from '../errors.ts';
import { PurseError } from '../ledger/invalid.ts';
import type { Labels } from '../ledger/labels.ts';
import { instrumentsOf, quietly, SCOPE, telemetryApi } from '../telemetry.ts';
import type { TelemetryApi } from '../telemetry.ts';

/** What is known of a call before its money is held. */
export interface CallStart {
  /** `chat`, `embeddings` and so on; `operationOf` reads it from a path. */
  readonly operation: string;
  /** The provider's name as this package says it; conventions have their own for some. */
  readonly provider: string;
  /** The model that the request names; left out where it cannot be read. */
  readonly model?: string | undefined;
  /** Where the request goes; left out where only the SDK knows that. */
  readonly url?: URL | undefined;
  readonly streamed?: boolean | undefined;
  /** The request's own cap on its output. */
  readonly maxOutputTokens?: number | null | undefined;
  /** Labels of the spend, without those of `withLabels` around the call. */
  readonly labels: Labels;
}

/** What a call cost. Counts are left out where the provider did not say them. */
export interface CallCharge {
  readonly usd: number;
  /** Where the price comes from. */
  readonly price: string;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly cachedInputTokens?: number | undefined;
  readonly cacheWriteTokens?: number | undefined;
  readonly reasoningTokens?: number | undefined;
}

/** One call, as telemetry sees it. Nothing here throws but what the work in it throws. */
export interface CallSpan {
  /** The money for the call is held. */
  held(holdId: string, usd: number, tokens: number): void;
  /** The call was refused, and not sent. */
  denied(error: unknown): void;
  /** The model that the answer names. */
  answeredBy(model: string): void;
  charged(charge: CallCharge): void;
  /** The call failed: what was thrown, or the status of the answer. */
  failed(problem: unknown): void;
  /** Sends the call so that spans inside, such as that of the HTTP request, are its children. */
  withSpan<T>(send: () => T): T;
  /** The call is over; for a stream, when it has ended or was left. Said again, nothing happens. */
  end(): void;
}

/** Reports model calls as OpenTelemetry spans and metrics. */
export interface CallTelemetry {
  begin(start: CallStart): CallSpan;
}

interface CallInstruments {
  readonly tokens: Api.Histogram;
  readonly duration: Api.Histogram;
}

/** Boundaries that the conventions want. */
const TOKEN_BUCKETS: number[] = Array.from({ length: 14 }, (_, index) => 4 ** index);
const SECONDS_BUCKETS: number[] = Array.from({ length: 14 }, (_, index) => 0.01 * 2 ** index);

function makeInstruments(meter: Api.Meter): CallInstruments {
  return {
    tokens: meter.createHistogram('gen_ai.client.token.usage', {
      unit: '{token}',
      description: 'Number of input and output tokens used.',
      advice: { explicitBucketBoundaries: TOKEN_BUCKETS },
    }),
    duration: meter.createHistogram('gen_ai.client.operation.duration', {
      unit: 's',
      description: 'GenAI operation duration.',
      advice: { explicitBucketBoundaries: SECONDS_BUCKETS },
    }),
  };
}

/**
 * Telemetry of model calls by the GenAI conventions, or null where `@opentelemetry/api` is not
 * installed. A call is one CLIENT span, `{operation} {model}`, a child of the span around it:
 *
 * | attributes | when |
 * |---|---|
 * | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`, `server.address`, `server.port`, `gen_ai.request.max_tokens`, `gen_ai.request.stream`, `purse.label.*` | from the start |
 * | `purse.hold.id`, `purse.hold.usd`, `purse.hold.tokens` | held |
 * | `gen_ai.response.model` | answered |
 * | `gen_ai.usage.*`, `purse.charge.usd`, `purse.charge.price` | charged |
 * | `error.type`, and of a denial `purse.denial.limit`, `.reason`, `.unit`, `.requested`, `.available` | failed or refused |
 *
 * Metrics: `gen_ai.client.token.usage` for what a provider says was used, and
 * `gen_ai.client.operation.duration` for every call that was sent. Neither prompts nor answers are
 * ever reported.
 *
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
 * https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
 */
export function callTelemetry(api: TelemetryApi | null = telemetryApi()): CallTelemetry | null {
  if (api === null) return null;
  const instruments = instrumentsOf(api, makeInstruments);
  return {
    begin(start) {
      let span: CallSpan = NO_SPAN;
      quietly(api, () => {
        span = new ReportedCall(api, instruments, start);
      });
      return span;
    },
  };
}

class ReportedCall implements CallSpan {
  readonly #api: TelemetryApi;
  readonly #instruments: () => CallInstruments | null;
  readonly #span: Api.Span;
  /** Attributes of the metrics: of these there are few values. */
  readonly #about: Record<string, string | number>;
  readonly #startMs = performance.now();
  #sent = true;
  #ended = false;

  constructor(api: TelemetryApi, instruments: () => CallInstruments | null, start: CallStart) {
    this.#api = api;
    this.#instruments = instruments;
    this.#about = {
      'gen_ai.operation.name': start.operation,
      'gen_ai.provider.name': providerOf(start.provider, start.url?.hostname ?? ''),
      ...(start.model !== undefined && { 'gen_ai.request.model': start.model }),
      ...(start.url !== undefined && {
        'server.address': start.url.hostname,
        'server.port': portOf(start.url),
      }),
    };
    const name = [start.operation, start.model].join(' ').trim();
    this.#span = api.trace.getTracer(SCOPE).startSpan(name, {
      kind: api.SpanKind.CLIENT,
      attributes: {
        ...this.#about,
        ...(typeof start.maxOutputTokens === 'number' && {
          'gen_ai.request.max_tokens': start.maxOutputTokens,
        }),
        ...(start.streamed === true && { 'gen_ai.request.stream': true }),
      },
    });
    if (this.#span.isRecording()) {
      for (const [name, value] of Object.entries(labelsAround(start.labels))) {
        this.#span.setAttribute(`purse.label.${name}`, value);
      }
    }
  }

  held(holdId: string, usd: number, tokens: number): void {
    this.#quietly(() =>
      this.#span.setAttributes({
        'purse.hold.id': holdId,
        'purse.hold.usd': usd,
        'purse.hold.tokens': tokens,
      }),
    );
  }

  denied(error: unknown): void {
    this.#sent = false;
    this.failed(error);
    this.#quietly(() => {
      if (!BudgetExceededError.isInstance(error)) return;
      const { limit, reason, unit, requested, available } = error.denial;
      this.#span.setAttributes({
        ...(limit !== null && { 'purse.denial.limit': limit }),
        'purse.denial.reason': reason,
        'purse.denial.unit': unit,
        'purse.denial.requested': requested,
        'purse.denial.available': available,
      });
    });
  }

  answeredBy(model: string): void {
    this.#quietly(() => {
      this.#about['gen_ai.response.model'] = model;
      this.#span.setAttribute('gen_ai.response.model', model);
    });
  }

  charged(charge: CallCharge): void {
    this.#quietly(() => {
      this.#span.setAttributes(chargeAttributes(charge));
      const tokens = this.#instruments()?.tokens;
      const { inputTokens, outputTokens } = charge;
      if (inputTokens !== undefined) {
        tokens?.record(inputTokens, { ...this.#about, 'gen_ai.token.type': 'input' });
      }
      if (outputTokens !== undefined) {
        tokens?.record(outputTokens, { ...this.#about, 'gen_ai.token.type': 'output' });
      }
    });
  }

  failed(problem: unknown): void {
    this.#quietly(() => {
      this.#about['error.type'] = errorTypeOf(problem);
      this.#span.setAttribute('error.type', errorTypeOf(problem));
      const { ERROR } = this.#api.SpanStatusCode;
      this.#span.setStatus(
        problem instanceof Error ? { code: ERROR, message: problem.message } : { code: ERROR },
      );
    });
  }

  withSpan<T>(send: () => T): T {
    const { context, trace } = this.#api;
    let begun = false;
    try {
      return context.with(trace.setSpan(context.active(), this.#span), () => {
        begun = true;
        return send();
      });
    } catch (error) {
      if (begun) throw error;
      return send();
    }
  }

  end(): void {
    this.#quietly(() => {
      this.#ended = true;
      this.#span.end();
      const seconds = (performance.now() - this.#startMs) / 1000;
      if (this.#sent) this.#instruments()?.duration.record(seconds, this.#about);
    });
  }

  #quietly(act: () => void): void {
    if (!this.#ended) quietly(this.#api, act);
  }
}

/** Stands in for a span that could not be begun. */
const NO_SPAN: CallSpan = {
  held: () => {},
  denied: () => {},
  answeredBy: () => {},
  charged: () => {},
  failed: () => {},
  withSpan: (send) => send(),
  end: () => {},
};

function chargeAttributes(charge: CallCharge): Api.Attributes {
  const attributes: Record<string, string | number> = {
    'purse.charge.usd': charge.usd,
    'purse.charge.price': charge.price,
  };
  for (const [name, field] of USAGE_ATTRIBUTES) {
    const value = charge[field];
    if (value !== undefined) attributes[name] = value;
  }
  return attributes;
}

const USAGE_ATTRIBUTES = [
  ['gen_ai.usage.input_tokens', 'inputTokens'],
  ['gen_ai.usage.output_tokens', 'outputTokens'],
  ['gen_ai.usage.cache_read.input_tokens', 'cachedInputTokens'],
  ['gen_ai.usage.cache_creation.input_tokens', 'cacheWriteTokens'],
  ['gen_ai.usage.reasoning.output_tokens', 'reasoningTokens'],
] as const satisfies readonly (readonly [string, keyof CallCharge])[];

/** A short name of what went wrong, of which there are few. */
function errorTypeOf(problem: unknown): string {
  if (typeof problem === 'number') return String(problem);
  if (PurseError.isInstance(problem)) return problem.code;
  if (!(problem instanceof Error)) return '_OTHER';
  // What fetch rejects with is a TypeError; why is in its cause, such as ECONNREFUSED.
  for (const error of [problem.cause, problem]) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    if (typeof code === 'string') return code;
  }
  return problem.name;
}

/** Operations by how their paths end; of what is not listed, `chat` is the rule. */
const OPERATIONS: readonly (readonly [RegExp, string])[] = [
  [/\/embeddings$|:(?:batchEmbedContents|embedContent)$/, 'embeddings'],
  [/(?<!\/chat)\/completions$/, 'text_completion'],
  [/:(?:streamGenerateContent|generateContent)$/, 'generate_content'],
  [/\/(?:images|videos|audio)(?:\/|$)/, 'generate_content'],
];

/** The operation that a path stands for, by the names of the conventions. */
export function operationOf(path: string): string {
  return OPERATIONS.find(([pattern]) => pattern.test(path))?.[1] ?? 'chat';
}

/** Names that the conventions have for providers, where they differ. */
const PROVIDERS: Readonly<Record<string, string>> = {
  aws: 'aws.bedrock',
  bedrock: 'aws.bedrock',
  azure: 'azure.ai.openai',
  mistral: 'mistral_ai',
  moonshotai: 'moonshot_ai',
  'x-ai': 'x_ai',
  xai: 'x_ai',
};

function providerOf(provider: string, hostname: string): string {
  if (provider === 'google' || provider === 'gemini') {
    if (hostname === 'generativelanguage.googleapis.com') return 'gcp.gemini';
    return hostname.endsWith('aiplatform.googleapis.com') ? 'gcp.vertex_ai' : 'gcp.gen_ai';
  }
  return Object.hasOwn(PROVIDERS, provider) ? (PROVIDERS[provider] ?? provider) : provider;
}

function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return protocol === 'http:' ? 80 : 443;
}
