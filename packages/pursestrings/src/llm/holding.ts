import { BudgetExceededError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import { affordableCap, estimate, mayFit, recount, withOutputCap } from './estimate.ts';
import type { CallFacts, Estimate, Left } from './estimate.ts';
import { attosOf, usdNumber } from './prices/rates.ts';

/** A clamped answer shorter than this is of no use to anybody: the call is refused instead. */
const MIN_CLAMPED_TOKENS = 16;

/**
 * While others spend too, what is left changes between looking and taking; then the answer is no.
 */
const MAX_ROUNDS = 5;

/** A call's money, set aside, and the estimate it was set aside for. */
export interface Held {
  readonly hold: Hold;
  readonly estimate: Estimate;
}

/** Who asks for money, and how. */
export interface Asking {
  readonly purse: Purse;
  readonly labels: Labels;
  readonly signal: AbortSignal | null;
  /** Lower the output cap to what is left, where that helps. */
  readonly clamps: boolean;
}

/**
 * Takes a hold: for the cheap estimate, else for the counted one, else for what the money left
 * affords. Only when none of them fits is it asked for in earnest, so that one call is at most one
 * denial to those who count and listen.
 *
 * @throws BudgetExceededError when none of them fits.
 */
export async function holdFor(facts: CallFacts, asking: Asking): Promise<Held> {
  let current = await estimate(facts);
  let answer = await ask(asking, current, true);
  for (let round = 1; round <= MAX_ROUNDS && BudgetExceededError.isInstance(answer); round += 1) {
    const smaller = await shrink(facts, current, answer, asking.clamps);
    if (smaller === null) break;
    current = smaller;
    answer = await ask(asking, current, true);
  }
  if (BudgetExceededError.isInstance(answer)) answer = await ask(asking, current, false);
  if (BudgetExceededError.isInstance(answer)) throw answer;
  return { hold: answer, estimate: current };
}

async function ask(
  { purse, labels, signal }: Asking,
  { attos, tokens, calls }: Estimate,
  tentative: boolean,
): Promise<Hold | BudgetExceededError> {
  const amounts = { usd: usdNumber(attos), tokens, calls };
  try {
    // A hold expires where nobody saw how the call ended: it was sent, so it is billed.
    const options = {
      ifAbandoned: 'charge',
      tentative,
      ...(signal === null ? {} : { signal }),
    } as const;
    return await purse.reserve(amounts, labels, options);
  } catch (error) {
    if (BudgetExceededError.isInstance(error)) return error;
    throw error;
  }
}

/** The same call made to cost less, or null when that cannot be, or would not help. */
async function shrink(
  facts: CallFacts,
  current: Estimate,
  error: BudgetExceededError,
  mayClamp: boolean,
): Promise<Estimate | null> {
  if (facts.parts.length > 0) return null;
  const clamps = mayClamp && facts.rewritable && facts.shape.cappable;
  // A smaller call helps only where money or tokens are short.
  const helps = error.denials.every(
    ({ reason, unit }) => reason === 'exceeds' && (unit === 'usd' || unit === 'tokens'),
  );
  const left = leftBy(error);
  const least = clamps ? Math.min(MIN_CLAMPED_TOKENS, current.outputCap) : current.outputCap;
  if (!helps || !mayFit(facts, current, least, left)) return null;
  const counted = await recount(facts, current);
  if (counted !== null && counted.tokens < current.tokens) return counted;
  const cap = clamps ? affordableCap(facts, current, left) : 0;
  if (cap < MIN_CLAMPED_TOKENS || cap >= current.outputCap) return null;
  return withOutputCap(facts, current, cap);
}

/** What the tightest envelopes leave, by unit. */
function leftBy(error: BudgetExceededError): Left {
  const least = (unit: string): number | null => {
    const denials = error.denials.filter((denial) => denial.unit === unit);
    return denials.length === 0 ? null : Math.min(...denials.map(({ available }) => available));
  };
  const usd = least('usd');
  return { attos: usd === null ? null : attosOf(usd), tokens: least('tokens') };
}
