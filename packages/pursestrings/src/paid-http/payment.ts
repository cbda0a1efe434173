import { setTimeout as sleep } from 'node:timers/promises';
import type { Denial } from '../denial.ts';
import { ConflictError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Credential } from './credentials.ts';
import { BudgetExceededError, L402PaymentError } from './errors.ts';
import {
  HELD_PAYMENT_TTL_MS,
  type HeldPayment,
  paymentHoldId,
  toSats,
  urlLabel,
  writeHeldPayment,
} from './held-payment.ts';
import { type PaymentDesk, pendingError, type PendingPayments } from './pending.ts';
import { madePayment } from './settling.ts';
import { type Ask, type Bill, billOf, checkUnexpired, mostAskedMsat } from './terms.ts';
import type { PaymentTerms } from './terms.ts';
import type { PaidInvoice, PayOptions } from './wallets/wallet.ts';

/** What payments are made by. */
export interface PayingDesk extends PaymentDesk {
  readonly terms: PaymentTerms;
  readonly pending: PendingPayments;
  /** A wallet that is silent for so long has an unknown outcome. */
  readonly paymentTimeoutMs: number;
  /** Labels that tell more of who asks. */
  labelsOf(ask: Ask): Labels;
  /** Asked before each payment: a throw refuses it. */
  beforePayment(sats: number, url: string): Promise<void>;
  /** Tells of a price that does not fit what is left. */
  exceeded(url: string, sats: number): void;
}

/** One invoice is tried so often, where each try is known to have failed. */
const MAX_ATTEMPTS = 32;

/**
 * An invoice that lives longer is tried once. The ledger forgets the id of a try that failed after 7
 * days, and that of a later one that succeeded must not be hidden by it.
 */
const MAX_RETRIED_LIFE_MS = 6 * 86_400_000;

/** After an error nobody understands, the wallet is asked so often what became of it. */
const LOOK_UP_PAUSES_MS = [0, 250, 1_000];

/**
 * Pays what a server asks for, once: takes a hold that only one process in the world can take, pays,
 * checks the preimage, and settles what was really paid.
 *
 * @param signal Gives up while nothing is paid yet, and then no longer waits for a wallet that can
 *   say later what became of the payment.
 * @throws BudgetExceededError, L402PaymentError, L402ParseError, StoreError; what `beforePayment`
 *   throws, and the signal's reason: nothing was spent.
 */
export async function pay(desk: PayingDesk, ask: Ask, signal: AbortSignal): Promise<Credential> {
  const bill = billOf(ask, desk.terms, Date.now());
  if (bill.objection !== null) return object(desk, ask, bill, bill.objection);
  const taken = await takeTurn(desk, ask, bill, signal);
  if ('credential' in taken) return taken.credential;
  const { hold, payment } = taken;
  try {
    await agreeToPay(desk, ask, bill, signal).catch(async (error: unknown) => {
      await desk.pending.free(hold);
      throw error;
    });
    return await payHeld(desk, bill, hold, payment, signal);
  } finally {
    desk.pending.end(hold.id);
  }
}

/** Refuses an ask; for the price, where that is over what is left anyway. */
async function object(
  desk: PayingDesk,
  ask: Ask,
  bill: Bill,
  objection: L402PaymentError,
): Promise<never> {
  const sats = toSats(mostAskedMsat(bill, ask));
  const { denials } = await desk.purse.check({ sats }, labelsFor(desk, ask, bill));
  const [first, ...rest] = denials;
  if (first !== undefined) throw exceeded(desk, ask, [first, ...rest]);
  throw objection;
}

function exceeded(
  desk: PayingDesk,
  ask: Ask,
  denials: readonly [Denial, ...(readonly Denial[])],
): BudgetExceededError {
  const error = new BudgetExceededError(ask.url, denials);
  desk.exceeded(ask.url, error.required);
  return error;
}

/** The labels that a payment is charged by. */
export function labelsFor(desk: PayingDesk, ask: Ask, { invoice }: Bill): Labels {
  return {
    ...desk.labels,
    ...desk.labelsOf(ask),
    domain: ask.domain.host,
    url: urlLabel(ask.resource),
    payee: invoice.payee,
  };
}

/** A payment that may be made now, or what an earlier one bought. */
type Taken =
  | { readonly hold: Hold; readonly payment: HeldPayment }
  | { readonly credential: Credential };

/**
 * Waits until nobody else pays for a resource, and begins. Where several processes begin at the same
 * time, the ledger's time says who was first, and the others wait for that one.
 */
async function takeTurn(
  desk: PayingDesk,
  ask: Ask,
  bill: Bill,
  signal: AbortSignal,
): Promise<Taken> {
  for (;;) {
    const earlier = await desk.pending.resolveFor(ask.resource, signal);
    if (earlier !== null) return { credential: earlier };
    const taken = await takeHold(desk, ask, bill, signal);
    if ('credential' in taken) return taken;
    const { hold } = taken;
    desk.pending.begin(hold, ask.url);
    const turn = await turnOf(desk, ask, hold).catch(async (error: unknown) => {
      await desk.pending.giveUp(hold);
      throw error;
    });
    if (turn === 'mine') return taken;
    await desk.pending.giveUp(hold);
    if (turn !== 'others') return { credential: turn };
  }
}

/** Says whether it is this payment's turn. Another process may have paid since this one asked. */
async function turnOf(
  desk: PayingDesk,
  ask: Ask,
  hold: Hold,
): Promise<'mine' | 'others' | Credential> {
  const isFirst = await desk.pending.isFirst(hold, ask.resource);
  const bought = ask.alone ? null : await desk.credentials.find(ask.resource);
  if (bought !== null) return bought.credential;
  return isFirst ? 'mine' : 'others';
}

/** Takes the one hold that an invoice can have, or finds what its payment bought. */
async function takeHold(
  desk: PayingDesk,
  ask: Ask,
  bill: Bill,
  signal: AbortSignal,
): Promise<Taken> {
  const { paymentHash, expiresAtMs } = bill.invoice;
  const attempts = expiresAtMs > Date.now() + MAX_RETRIED_LIFE_MS ? 1 : MAX_ATTEMPTS;
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const { scheme, token } = ask.challenge;
    const { amountMsat } = bill;
    const { resource } = ask;
    const payment = { paymentHash, amountMsat, expiresAtMs, scheme, token, resource, attempt };
    const taken = await reserve(desk, ask, bill, payment, signal);
    if (taken instanceof Object) return { hold: taken, payment };
    if (taken === 'free') continue;
    // Somebody pays, or has paid, this very invoice. It may be this resource's by now.
    const earlier =
      (taken === 'open' ? await desk.pending.resolveFor(ask.resource, signal) : null) ??
      (await desk.credentials.find(ask.resource))?.credential ??
      null;
    if (earlier !== null) return { credential: earlier };
    throw new L402PaymentError(
      'ALREADY_PAID',
      `${ask.resource} wants an invoice paid that ${taken === 'open' ? 'is being' : 'was'} paid ` +
        `already (hold ${paymentHoldId(paymentHash, attempt)}); it was not paid again`,
      { invoice: bill.invoice.bolt11 },
    );
  }
  throw new L402PaymentError(
    'PAYMENT_FAILED',
    `The invoice that ${ask.resource} wants paid was tried ${attempts} time(s) and failed; ` +
      'ask the server for another',
    { invoice: bill.invoice.bolt11 },
  );
}

/** Reserves for one try. `free`: an earlier one, which failed, has this id. */
async function reserve(
  desk: PayingDesk,
  ask: Ask,
  bill: Bill,
  payment: HeldPayment,
  signal: AbortSignal,
): Promise<Hold | 'free' | 'open' | 'paid'> {
  const description = writeHeldPayment(payment, crypto.randomUUID());
  if (description === null) {
    throw new L402PaymentError(
      'TOKEN_TOO_LONG',
      `${ask.resource} gives a token of ${payment.token.length} characters, too long to be kept ` +
        'with the payment until its outcome is known; it was not paid',
      { invoice: bill.invoice.bolt11 },
    );
  }
  const sats = toSats(bill.amountMsat + bill.feeLimitMsat);
  const id = paymentHoldId(payment.paymentHash, payment.attempt);
  const options = { id, ttlMs: HELD_PAYMENT_TTL_MS, ifAbandoned: 'charge', description } as const;
  try {
    const labels = labelsFor(desk, ask, bill);
    const taken = await desk.purse.tryReserve({ sats }, labels, { ...options, signal });
    if (!taken.ok) throw exceeded(desk, ask, taken.denials as [Denial, ...Denial[]]);
    return taken.hold;
  } catch (error) {
    if (!ConflictError.isInstance(error)) throw error;
    const { hold, charge } = error.recorded;
    if (charge !== null) return 'paid';
    return hold === 'released' || hold === 'expired' ? 'free' : 'open';
  }
}

/** The last moment in which nothing is paid yet. */
async function agreeToPay(
  desk: PayingDesk,
  ask: Ask,
  bill: Bill,
  signal: AbortSignal,
): Promise<void> {
  await unlessAborted(desk.beforePayment(bill.amountMsat / 1_000, ask.url), signal);
  signal.throwIfAborted();
  checkUnexpired(bill.invoice, ask, Date.now());
}

/** Pays an invoice whose money is held, and finds out what became of it. */
async function payHeld(
  desk: PayingDesk,
  bill: Bill,
  hold: Hold,
  payment: HeldPayment,
  signal: AbortSignal,
): Promise<Credential> {
  const paying = askWallet(desk, bill, signal);
  let completed: PaidInvoice;
  try {
    completed = await inTime(paying, desk.paymentTimeoutMs);
  } catch (error) {
    if (isFailure(error)) {
      await desk.pending.free(hold);
      throw failedError(bill, payment, error);
    }
    followLate(desk, paying, hold, payment);
    return lookUpAfter(desk, bill, hold, payment, error, signal);
  }
  const made = madePayment(payment, completed);
  if (made !== null) return desk.pending.complete(hold, made);
  return unproven(desk, bill, hold, payment);
}

/** Asks for the payment with no more arguments than the wallet understands. */
function askWallet(
  { wallet }: PayingDesk,
  { invoice, feeLimitMsat }: Bill,
  signal: AbortSignal,
): Promise<PaidInvoice> {
  const options: PayOptions = {
    ...(wallet.limitsFees === true && { maxFeeMsat: feeLimitMsat }),
    // A wallet that cannot be asked later is left to answer, however long its callers wait.
    ...(wallet.lookUpPayment !== undefined && { signal }),
  };
  const { bolt11 } = invoice;
  return (async () =>
    Object.keys(options).length === 0
      ? wallet.payInvoice(bolt11)
      : wallet.payInvoice(bolt11, options))();
}

/** Asks the wallet, after an error that says nothing of the money, what became of a payment. */
async function lookUpAfter(
  desk: PayingDesk,
  bill: Bill,
  hold: Hold,
  payment: HeldPayment,
  cause: unknown,
  signal: AbortSignal,
): Promise<Credential> {
  const pauses = desk.wallet.lookUpPayment === undefined ? [] : LOOK_UP_PAUSES_MS;
  for (const pauseMs of pauses) {
    if (signal.aborted) break;
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    const answer = await desk.pending.lookUp({ hold, payment });
    if (answer.state === 'made') return answer.credential;
    if (answer.state === 'free') throw failedError(bill, payment, cause);
  }
  throw pendingError({ hold, payment }, desk.wallet, cause, bill.invoice.bolt11);
}

/** Hears the wallet out that took too long, or that nobody waits for any more. */
function followLate(
  desk: PayingDesk,
  paying: Promise<PaidInvoice>,
  hold: Hold,
  payment: HeldPayment,
): void {
  paying
    .then(
      async (completed) => {
        const made = madePayment(payment, completed);
        if (made !== null) await desk.pending.complete(hold, made);
      },
      async (error: unknown) => {
        if (isFailure(error)) await desk.pending.free(hold);
      },
    )
    .catch((error: unknown) => desk.failed(error));
}

/** A wallet says that it paid and has no proof of it: the money counts as spent. */
async function unproven(
  desk: PayingDesk,
  bill: Bill,
  hold: Hold,
  payment: HeldPayment,
): Promise<Credential> {
  const answer = await desk.pending.lookUp({ hold, payment });
  if (answer.state === 'made') return answer.credential;
  const { resource } = payment;
  const { bolt11: invoice } = bill.invoice;
  if (answer.state === 'free') throw failedError(bill, payment, undefined);
  await desk.pending.completeUnproven({ hold, payment });
  throw new L402PaymentError(
    'WRONG_PREIMAGE',
    `The wallet says that it paid ${toSats(payment.amountMsat)} sats for ${resource}, but its ` +
      `preimage is not that of payment hash ${payment.paymentHash}: the money counts as spent, and ` +
      'no credential was sent; see what the wallet did',
    { invoice, outcome: 'unknown' },
  );
}

function failedError(bill: Bill, payment: HeldPayment, cause: unknown): L402PaymentError {
  const why = L402PaymentError.isInstance(cause) ? `: ${cause.message}` : '';
  return new L402PaymentError(
    'PAYMENT_FAILED',
    `The payment of ${toSats(payment.amountMsat)} sats for ${payment.resource} failed and nothing ` +
      `was spent${why}`,
    { invoice: bill.invoice.bolt11, retryable: true, cause },
  );
}

function isFailure(error: unknown): boolean {
  return L402PaymentError.isInstance(error) && error.outcome === 'failed';
}

async function inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`The wallet did not answer in ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What comes of some work, or the signal's reason when that comes first. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) work.catch(() => undefined);
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
