import { PriceUnknownError } from '../errors.ts';
import { PurseError } from '../ledger/invalid.ts';
import type { CallFacts } from './estimate.ts';
import type { Price } from './prices/price.ts';
import type { PriceFinder } from './prices/price-list.ts';
import type { CallPart, CallShape, JsonObject, Provider } from './providers/provider.ts';

/** What decides how a call is read. */
export interface Reading {
  readonly provider: Provider;
  /** Where it goes; null where only its cost is asked. */
  readonly url: URL | null;
  readonly findPrice: PriceFinder;
  readonly outputCeiling: number | undefined;
  /** The request may be changed. */
  readonly rewritable: boolean;
}

/**
 * Reads what a call is and what it costs from its body.
 *
 * @throws PurseError `UNREADABLE_REQUEST` when the body is not in the route's format.
 * @throws PriceUnknownError when the model, or one that may answer in its place, has no price.
 */
export function readFacts(
  reading: Reading & { readonly url: URL },
  fields: JsonObject | null,
  text: string,
): CallFacts {
  const { provider, url } = reading;
  const shape = fields === null ? null : provider.readCall(fields, url);
  if (fields === null || shape === null) {
    throw new PurseError(
      'UNREADABLE_REQUEST',
      `The body sent to ${url.pathname} is no request of ${provider.name}: its cost ` +
        'cannot be known, so it was not sent',
    );
  }
  return factsOf(reading, fields, text, shape);
}

/** What is known of a call whose request was read already; its parts are read too. */
export function factsOf(
  reading: Reading,
  body: JsonObject,
  text: string,
  shape: CallShape,
): CallFacts {
  const { provider, outputCeiling, rewritable } = reading;
  return {
    provider,
    body,
    text,
    shape,
    price: priceOf(reading, shape.model),
    otherPrices: shape.alternatives.map((model) => priceOf(reading, model)),
    outputCeiling,
    rewritable,
    parts: shape.parts.map((part: CallPart) =>
      // What is in a batch cannot be given a cap that its request does not name.
      factsOf({ ...reading, rewritable: false }, part.body, JSON.stringify(part.body), part.shape),
    ),
  };
}

function priceOf({ findPrice, url }: Reading, model: string): Price {
  const price = findPrice(model, url?.href ?? null);
  if (price !== null) return price;
  const place = url === null ? '' : ` at ${url.host}`;
  throw new PriceUnknownError(
    model,
    `No price is known for the model ${JSON.stringify(model)}${place}: add it to \`prices\`, or ` +
      'set `unknownModel`',
  );
}
