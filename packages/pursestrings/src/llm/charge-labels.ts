import { MAX_LABELS } from '../ledger/labels.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Price } from './prices/price.ts';

/** A model's name comes from the request, and a label's length is bounded. */
const MAX_LENGTH = 256;

/** What a charge says beside the user's own labels, of which none is touched. */
export function chargeLabels(
  own: Labels,
  provider: string,
  model: string,
  price: Price,
): Record<string, string> {
  const listed = price.source.startsWith('genai-prices');
  const labels: Record<string, string> = {};
  let room = MAX_LABELS - Object.keys(own).length;
  const add = (name: string, value: string): void => {
    if (room <= 0 || Object.hasOwn(own, name)) return;
    labels[name] = value.slice(0, MAX_LENGTH).toWellFormed();
    room -= 1;
  };
  add('provider', listed ? price.provider : provider);
  add('model', model);
  add('price', price.source);
  return labels;
}
