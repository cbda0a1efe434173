import type { Purse } from '../purse.ts';
import { chargeLabels } from './charge-labels.ts';
import { costAttos } from './prices/price.ts';
import type { Price } from './prices/price.ts';
import type { PriceFinder } from './prices/price-list.ts';
import { hostOf } from './providers/hosts.ts';
import type { Provider, ResultReader, Work } from './providers/provider.ts';
import { recordable, usdNumber } from './prices/rates.ts';
import { remade, withBody } from './read-response.ts';
import { openFilter } from './streams/stream-filter.ts';
import { LineFilter } from './streams/line-filter.ts';
import { passedThrough } from './streams/stream.ts';
import { parseJson } from './providers/read-json.ts';

/** A request for the result of work that an earlier call began, here or in another process. */
export interface ResultRequest {
  readonly purse: Purse;
  readonly findPrice: PriceFinder;
  readonly provider: Provider;
  readonly work: Work;
  readonly workId: string;
  readonly url: URL;
  readonly signal: AbortSignal | null;
}

/**
 * Passes a result on, and settles the hold of the work once the result says what it cost: in
 * whichever process reads it first. A hold that is resolved already stays as it is.
 */
export async function resultRead(request: ResultRequest, response: Response): Promise<Response> {
  if (!response.ok || response.body === null) return response;
  const bill = new WorkBill(request);
  const reader = request.work.openResult((model, usage) => bill.add(model, usage));
  const contentType = response.headers.get('content-type') ?? '';
  const shown = { read: (data: string) => (reader.read(data), false) };
  const json = /^application\/json\b/i.test(contentType);
  const filter = openFilter(contentType, shown, false) ?? (json ? null : new LineFilter(shown));
  if (filter !== null) {
    const end = {
      alive: () => undefined,
      settle: (ended: boolean) => bill.settle(reader, ended),
    };
    return remade(response, passedThrough(response.body, filter, end, request.signal));
  }
  const bytes = await response.arrayBuffer();
  const text = Buffer.from(bytes).toString();
  reader.read(text);
  await bill.settle(reader, true);
  return withBody(response, bytes, parseJson(text));
}

/** Adds up what the calls of one piece of work cost. */
class WorkBill {
  readonly #request: ResultRequest;
  #attos = 0n;
  #tokens = 0;
  #calls = 0;
  #complete = true;
  #settling: Promise<void> | null = null;
  #first: { readonly model: string; readonly price: Price } | null = null;

  constructor(request: ResultRequest) {
    this.#request = request;
  }

  add(model: string, usage: Parameters<typeof costAttos>[1]): void {
    const price = this.#priceOf(model);
    const attos = price === null ? null : costAttos(price, usage);
    this.#calls += 1;
    this.#tokens += usage.inputTokens + usage.outputTokens;
    if (price === null || attos === null) this.#complete = false;
    else {
      this.#attos += attos;
      this.#first ??= { model, price };
    }
  }

  /** A user's `prices` may throw: the result is passed on all the same, and the hold is charged. */
  #priceOf(model: string): Price | null {
    try {
      return this.#request.findPrice(model, this.#request.url.href);
    } catch {
      return null;
    }
  }

  settle(reader: ResultReader, ended: boolean): Promise<void> {
    this.#settling ??= this.#settle(reader.outcome(ended)).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      process.emitWarning(
        `The cost of ${this.#request.workId} could not be recorded now (${reason}); read its ` +
          'result again, or its hold is charged when it expires',
        { type: 'PurseWarning', code: 'PURSE_SETTLE_FAILED' },
      );
    });
    return this.#settling;
  }

  async #settle(outcome: ReturnType<ResultReader['outcome']>): Promise<void> {
    if (outcome === 'pending') return;
    const { purse, workId, provider, url } = this.#request;
    const hold = await purse.hold(workId, { expired: true });
    if (hold === null) return;
    if (outcome === 'free') await hold.release();
    else if (outcome === 'unknown' || !this.#complete || !recordable(this.#attos, this.#tokens)) {
      await hold.settle();
    } else {
      const host = hostOf(url)?.name ?? provider.name;
      const labels =
        this.#first === null
          ? {}
          : chargeLabels(hold.labels, host, this.#first.model, this.#first.price);
      const spent = { usd: usdNumber(this.#attos), tokens: this.#tokens, calls: this.#calls };
      await hold.settle(spent, { labels });
    }
  }
}
