import { PriceUnknownError } from 'pursestrings';
import { calculateCost, type PriceBook } from 'pursestrings/llm';
import { checkKeys, isMapping, readDataFile } from './data-file.ts';
import { InputError, messageOf } from './input-error.ts';
import type { PriceOf } from './replay.ts';
import { usdSteps } from './tally.ts';

/** One request may cost no more than the ledger can record: 2^50 steps, over 11 million USD. */
const MAX_COST_STEPS = 2n ** 50n;

/**
 * Reads a price book: model names, and USD per million tokens for each, in YAML or JSON.
 *
 * @throws InputError that names the file and the model.
 */
export function readPricesFile(path: string): PriceBook {
  const data = readDataFile(path, 'price book');
  const example = 'write `gpt-4o: { usdPerMillion: { input: 2.5, output: 10 } }`';
  if (!isMapping(data)) {
    throw new InputError(`${path}: a price book maps model names to prices; ${example}.`);
  }
  for (const [model, price] of Object.entries(data)) {
    const place = `${path}: model ${JSON.stringify(model)}`;
    const rates = isMapping(price) ? price['usdPerMillion'] : undefined;
    if (!isMapping(price) || !isMapping(rates)) {
      throw new InputError(`${place} has no price; ${example}.`);
    }
    // A rate that is misspelled would leave tokens at another rate, and nobody would know.
    checkKeys(price, PRICE_KEYS, place);
    checkKeys(rates, RATE_KEYS, place);
    if (!isPrice(rates['input']) || !isPrice(rates['output'])) {
      throw new InputError(`${place} needs both rates; ${example}.`);
    }
  }
  const book = data as PriceBook;
  checkBook(path, book);
  return book;
}

/** Makes the prices of a replay: the book's, then those of the list that the library brings. */
export function pricesFrom(book: PriceBook | undefined): PriceOf {
  const unknown = new Map<string, string>();
  const options = book === undefined ? {} : { prices: book };
  return (model, promptTokens, completionTokens) => {
    const known = unknown.get(model);
    if (known !== undefined) return known;
    const usage = { inputTokens: promptTokens, outputTokens: completionTokens };
    try {
      const { usd } = calculateCost(model, usage, options);
      // Under the most that can be recorded, eight digits of a double are exact.
      const steps = usdSteps(usd.toFixed(8));
      if (steps === null || steps > MAX_COST_STEPS) return 'it costs more than can be recorded';
      return steps;
    } catch (error) {
      if (!PriceUnknownError.isInstance(error)) throw error;
      const reason = 'it has no known price; add one with --prices';
      if (unknown.size < MAX_UNKNOWN_MODELS) unknown.set(model, reason);
      return reason;
    }
  };
}

const PRICE_KEYS = [
  'usdPerMillion',
  'longContext',
  'serviceTiers',
  'usdPerPiece',
  'contextWindow',
  'maxOutputTokens',
] as const satisfies readonly (keyof PriceBook[string])[];

const RATE_KEYS = [
  'input',
  'output',
  'cachedInput',
  'cacheWrite',
  'cacheWrite1h',
  'inputAudio',
  'cachedAudio',
  'inputImage',
  'cachedImage',
  'inputVideo',
  'outputAudio',
  'outputImage',
  'reasoning',
] as const satisfies readonly (keyof PriceBook[string]['usdPerMillion'])[];

/** Models come from the trace: past so many, one without a price is looked up again each time. */
const MAX_UNKNOWN_MODELS = 1000;

function isPrice(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'string';
}

/** Prices one token of each model, so that a bad rate is named before any row is read. */
function checkBook(path: string, book: PriceBook): void {
  for (const model of Object.keys(book)) {
    try {
      calculateCost(model, { inputTokens: 1, outputTokens: 1 }, { prices: book });
    } catch (cause) {
      throw new InputError(`${path}: model ${JSON.stringify(model)}: ${messageOf(cause)}.`, {
        cause,
      });
    }
  }
}
