import { PriceUnknownError } from '../errors.ts';
import type { Labels } from '../ledger/labels.ts';
import type { CallFacts } from './estimate.ts';
import type { CallObserver } from './settlement.ts';
import type { CallSpan, CallStart, CallTelemetry } from './telemetry.ts';

/** Whose call it is, what it asks for, and where it goes, as far as that is known. */
export type CallPlace = Pick<CallStart, 'operation' | 'provider' | 'url'>;

/** Begins the span of a call whose money is about to be held; null where nobody wants spans. */
export function beginSpan(
  telemetry: CallTelemetry | null,
  place: CallPlace,
  { shape }: CallFacts,
  labels: Labels,
): CallSpan | null {
  if (telemetry === null) return null;
  const { model, streamed, outputCap: maxOutputTokens } = shape;
  return telemetry.begin({ ...place, model, streamed, maxOutputTokens, labels });
}

/** Reports a call that was refused because it could not be read, or has no price. */
export function reportRefused(
  telemetry: CallTelemetry | null,
  place: CallPlace,
  said: { readonly model: unknown; readonly labels: Labels },
  error: unknown,
): void {
  const { labels } = said;
  const model = PriceUnknownError.isInstance(error) ? error.model : said.model;
  const named = typeof model === 'string' ? { model } : {};
  const span = telemetry?.begin({ ...place, ...named, labels });
  span?.denied(error);
  span?.end();
}

/** Tells a span what becomes of its call. */
export function observerOf(span: CallSpan | null, { price }: CallFacts): CallObserver | null {
  if (span === null) return null;
  return {
    charged: (usd, usage) => span.charged({ usd, price: price.source, ...usage }),
    end: () => span.end(),
  };
}
