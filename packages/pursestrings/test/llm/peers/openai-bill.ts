/** USD for a million tokens, as written on the price page; a kind left out is not sold. */
export interface OpenaiRates {
  readonly input: string;
  readonly cached?: string;
  readonly cacheWrite?: string;
  readonly inputImage?: string;
  readonly inputAudio?: string;
  readonly output: string;
  readonly outputImage?: string;
}

/** https://developers.openai.com/api/docs/pricing, 2026-11-22. Tiers stand as models of their own. */
const RATES: Readonly<Record<string, OpenaiRates>> = {
  'gpt-5': { input: '1.25', cached: '0.125', output: '10' },
  'gpt-5 flex': { input: '0.625', cached: '0.0625', output: '5' },
  'gpt-5 priority': { input: '2.5', cached: '0.25', output: '20' },
  'gpt-4o': { input: '2.5', cached: '1.25', output: '10' },
  'gpt-4o priority': { input: '4.25', cached: '2.125', output: '17' },
  'gpt-5.6-luna': { input: '0.2', cached: '0.02', cacheWrite: '0.25', output: '1.2' },
  'text-embedding-3-small': { input: '0.02', output: '0' },
  'gpt-3.5-turbo-instruct': { input: '1.5', output: '2' },
  'gpt-image-1-mini': { input: '2', inputImage: '2.5', output: '8', outputImage: '8' },
  'gpt-image-1.5': { input: '5', inputImage: '8', output: '10', outputImage: '32' },
  'gpt-image-2': { input: '5', inputImage: '8', output: '30', outputImage: '30' },
  'gpt-4o-mini-tts': { input: '0.6', output: '12' },
  'gpt-4o-transcribe': { input: '2.5', inputAudio: '6', output: '10' },
};

/** Attodollars for one of what is sold by the piece. Same source. */
export const PIECE_ATTOS = {
  /** USD 10 for 1,000 searches. */
  search: 10n ** 16n,
  /** USD 2.50 for 1,000 searches of files. */
  fileSearch: 25n * 10n ** 14n,
  /** USD 15 for a million characters. */
  character: 15n * 10n ** 12n,
  /** USD 0.006 a minute. */
  second: 10n ** 14n,
} as const;

/** What a call used, in disjoint kinds. */
export interface Counts {
  readonly input?: number;
  readonly cached?: number;
  readonly cacheWrite?: number;
  readonly inputImage?: number;
  readonly inputAudio?: number;
  readonly output?: number;
  readonly outputImage?: number;
}

/** What a call costs, in attodollars: whole tokens times whole rates. */
export function attosFor(model: string, counts: Counts): bigint {
  const rates = RATES[model];
  if (rates === undefined) throw new Error(`The peer does not sell ${model}`);
  let attos = 0n;
  for (const [kind, tokens] of Object.entries(counts)) {
    attos += BigInt(Number(tokens)) * perToken(rates[kind as keyof OpenaiRates]);
  }
  return attos;
}

/** USD for a million tokens is 1e-6 USD for one; six decimals are exact. */
function perToken(usdPerMillion: string | undefined): bigint {
  if (usdPerMillion === undefined) throw new Error('The peer does not sell this kind of token');
  const [whole = '0', fraction = ''] = usdPerMillion.split('.');
  return BigInt(whole + fraction.padEnd(6, '0')) * 10n ** 6n;
}

/** Attodollars as steps of 1e-8 USD, rounded up. */
export function stepsOf(attos: bigint): bigint {
  return (attos + 10n ** 10n - 1n) / 10n ** 10n;
}
