/** USD per one million tokens, at most six decimals, so that one token costs whole picodollars. */
export interface LoopbackRates {
  readonly input: number | string;
  readonly output: number | string;
  /** Prompt tokens that an answer names as cached. Default: as `input`. */
  readonly cachedInput?: number | string;
}

/** What one answered request was billed. */
export interface LoopbackBillLine {
  readonly request: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly usdPicos: bigint;
}

export interface LoopbackBill {
  /** How many requests were billed. */
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** USD as an exact decimal, such as `0.0125`. */
  readonly usd: string;
  /** USD in steps of 1e-12. */
  readonly usdPicos: bigint;
  /** One line for each billed request, the last 10,000. */
  readonly lines: readonly LoopbackBillLine[];
}

const MAX_LINES = 10_000;

/** Takes the money: one line for each billed request. */
export interface Till {
  ring(line: Omit<LoopbackBillLine, 'usdPicos'>): void;
  bill(): LoopbackBill;
}

/** Opens the bill of a loopback provider, in whole picodollars. */
export function openTill(rates: LoopbackRates): Till {
  const input = picosPerToken(rates.input);
  const output = picosPerToken(rates.output);
  const cachedInput = picosPerToken(rates.cachedInput ?? rates.input);
  const lines: LoopbackBillLine[] = [];
  const sum = { requests: 0, promptTokens: 0, completionTokens: 0, usdPicos: 0n };
  return {
    ring(line) {
      const usdPicos =
        BigInt(line.promptTokens - line.cachedTokens) * input +
        BigInt(line.cachedTokens) * cachedInput +
        BigInt(line.completionTokens) * output;
      sum.requests += 1;
      sum.promptTokens += line.promptTokens;
      sum.completionTokens += line.completionTokens;
      sum.usdPicos += usdPicos;
      lines.push({ ...line, usdPicos });
      if (lines.length > MAX_LINES) lines.shift();
    },
    bill: () => ({ ...sum, usd: picosToUsd(sum.usdPicos), lines: [...lines] }),
  };
}

/** Counts a prompt as OpenAI frames it: 3 tokens for each message, 3 for the reply, and the text. */
export function countPrompt(
  body: Readonly<Record<string, unknown>>,
  countTokens: (text: string) => number,
): number {
  const messages: unknown[] = Array.isArray(body.messages) ? body.messages : [];
  const tools = body.tools === undefined ? '' : JSON.stringify(body.tools);
  return messages.reduce<number>(
    (sum, message) => sum + 3 + countTokens(textsOf(message).join(' ')),
    3 + countTokens(tools),
  );
}

function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap((part) => textsOf(part));
}

/** Counts words: never more than any byte-pair encoding makes of them. */
export function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

/** One dollar a million tokens is a microdollar, 10^6 picodollars, a token. */
function picosPerToken(usdPerMillion: number | string): bigint {
  const match = /^(\d+)(?:\.(\d{1,6}))?$/.exec(String(usdPerMillion));
  if (match === null) {
    throw new RangeError(
      `The rate ${usdPerMillion} is no amount of USD per million tokens: give a decimal of at ` +
        'most six places',
    );
  }
  return BigInt(`${match[1]}${(match[2] ?? '').padEnd(6, '0')}`);
}

function picosToUsd(picos: bigint): string {
  const digits = picos.toString().padStart(13, '0');
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, '');
}
