/** Digits after the point that US dollars are counted in: a step is a hundred-millionth. */
const USD_DECIMALS = 8;

/** A spend or a sum of spends, in whole steps: no float takes part in a sum. */
export interface Tally {
  usdSteps: bigint;
  tokens: bigint;
  calls: bigint;
}

/** A tally in decimals, as it is printed. */
export interface TallyAmounts {
  readonly usd: number;
  readonly tokens: number;
  readonly calls: number;
}

/** A tally of nothing. */
export function emptyTally(): Tally {
  return { usdSteps: 0n, tokens: 0n, calls: 0n };
}

/** Adds a spend to a tally. */
export function addTo(tally: Tally, spend: Readonly<Tally>): void {
  tally.usdSteps += spend.usdSteps;
  tally.tokens += spend.tokens;
  tally.calls += spend.calls;
}

/** Writes a tally in decimals; each number is the one nearest to the exact sum. */
export function amountsOf(tally: Readonly<Tally>): TallyAmounts {
  return {
    usd: Number(usdText(tally.usdSteps)),
    tokens: Number(tally.tokens),
    calls: Number(tally.calls),
  };
}

/** Writes steps of US dollars as decimal text, exactly: `0.00012345`. */
export function usdText(steps: bigint): string {
  const digits = steps.toString().padStart(USD_DECIMALS + 1, '0');
  return `${digits.slice(0, -USD_DECIMALS)}.${digits.slice(-USD_DECIMALS)}`;
}

const USD_TEXT = /^(\d+)(?:\.(\d{1,8}))?$/;

/** Reads decimal text as steps of US dollars, exactly; `null` when it is finer than a step. */
export function usdSteps(text: string): bigint | null {
  const match = USD_TEXT.exec(text);
  if (match === null) return null;
  return BigInt(`${match[1] ?? ''}${(match[2] ?? '').padEnd(USD_DECIMALS, '0')}`);
}
