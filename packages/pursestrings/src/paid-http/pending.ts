import { setTimeout as sleep } from 'node:timers/promises';
import type { Hold } from '../hold.ts';
import type { Labels } from '../ledger/labels.ts';
import type { Purse } from '../purse.ts';
import type { Credential, Credentials } from './credentials.ts';
import { L402PaymentError } from './errors.ts';
import {
  HELD_PAYMENT_TTL_MS,
  type HeldPayment,
  PAYMENT_ID_PREFIX,
  readHeldPayment,
  toSats,
  urlLabel,
} from './held-payment.ts';
import { type MadePayment, madePayment, recordPayment, recordUnproven } from './settling.ts';
import type { L402Wallet, PaymentState } from './wallets/wallet.ts';

/** Money that was spent, fee and all. */
export interface Spend {
  /** The URL for callbacks. */
  readonly url: string;
  readonly resource: string;
  readonly msat: number;
}

/** What payments are made and looked up with. */
export interface PaymentDesk {
  readonly purse: Purse;
  readonly wallet: L402Wallet;
  /** Labels of every payment of this desk: by them it knows its own among the open holds. */
  readonly labels: Labels;
  readonly credentials: Credentials;
  /** Tells of money that was spent. */
  spent(spend: Spend): void;
  /** Tells of a failure that no caller can be told of. */
  failed(error: unknown): void;
}

/** A payment that was begun, with its hold. */
export interface OpenPayment {
  readonly hold: Hold;
  readonly payment: HeldPayment;
}

/** What became of a payment: it was made, its money is free again, or nobody knows yet. */
export type Resolution =
  | { readonly state: 'made'; readonly credential: Credential }
  | { readonly state: 'free' }
  | { readonly state: 'unknown'; readonly cause?: unknown };

/** What a store is still to be told of a payment. */
interface OwedRecord {
  /** What the payment bought; null for one that bought nothing. */
  readonly credential: Credential | null;
  record(): Promise<unknown>;
}

/** A wallet gets so long to say what it knows of a payment. */
const LOOK_UP_TIMEOUT_MS = 10_000;

/** A payment that another process may be making just now is waited for, for so long. */
const OTHERS_PATIENCE_MS = 10_000;
const OTHERS_MAX_AGE_MS = 120_000;

/** A second try for an invoice may be about to begin when the wallet still tells of the first. */
const RETRY_SETTLED_AGE_MS = 600_000;

/** A wallet that never heard of a payment is believed so long after the invoice's time. */
const NEVER_ASKED_AFTER_MS = 86_400_000;

/** After a store failed, what it should have recorded is offered again after such pauses. */
const FIRST_RECORD_PAUSE_MS = 500;
const MAX_RECORD_PAUSE_MS = 60_000;

const SWEEP_EVERY_MS = 30_000;
const MAX_SWEPT = 100;
const MAX_REMEMBERED = 10_000;

/**
 * Payments whose outcome is not known yet. The ledger's open holds are the record of them, so that
 * every process finds them, also after this one is gone.
 */
export class PendingPayments {
  readonly #desk: PaymentDesk;
  /** Being paid here just now. */
  readonly #active = new Set<string>();
  /** Begun here, for which URL, what is still held, and whether their money was told of. */
  readonly #begun = new Map<string, { readonly url: string; told: boolean; heldMsat: number }>();
  /** What became of payments and is not recorded yet, because the store failed. */
  readonly #owed = new Map<string, OwedRecord>();
  #recording = false;
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(desk: PaymentDesk) {
    this.#desk = desk;
  }

  /** What is held for payments begun here whose outcome is not known yet. */
  get heldMsat(): number {
    return this.#begun.values().reduce((sum, { heldMsat }) => sum + heldMsat, 0);
  }

  /** Marks a payment as being made here: nobody looks it up meanwhile. */
  begin(hold: Hold, url: string): void {
    this.#active.add(hold.id);
    this.#begun.set(hold.id, { url, told: false, heldMsat: heldMsat(hold) });
    for (const first of this.#begun.keys()) {
      if (this.#begun.size <= MAX_REMEMBERED) break;
      this.#begun.delete(first);
    }
  }

  /** Ends a payment that was not made. */
  async giveUp(hold: Hold): Promise<void> {
    await this.free(hold);
    this.end(hold.id);
  }

  /** True when no payment that is open for a resource, elsewhere, was begun before this one. */
  async isFirst(hold: Hold, resource: string): Promise<boolean> {
    const labels = { ...this.#desk.labels, url: urlLabel(resource) };
    for await (const other of this.#open(labels)) {
      if (other.payment.resource !== resource) continue;
      const laterMs = hold.expiresAt.getTime() - other.hold.expiresAt.getTime();
      if (laterMs > 0 || (laterMs === 0 && other.hold.id < hold.id)) return false;
    }
    return true;
  }

  /** Marks the end of waiting for a payment, whatever became of it. */
  end(id: string): void {
    this.#active.delete(id);
  }

  /**
   * Records a payment that was made, keeps what it bought and tells of it, once. Where the store
   * fails, the hold stands and the record is made later.
   */
  async complete(hold: Hold, made: MadePayment): Promise<Credential> {
    const tell = this.#teller(hold.id, made);
    const { credentials } = this.#desk;
    const kept = credentials.keep(made.payment.resource, made.credential);
    // Whoever is killed from here on has kept what the money bought before it is recorded as gone.
    if (credentials.durable) await kept;
    let recorded = false;
    try {
      recorded = await recordPayment(hold, made);
    } catch (error) {
      const record = (): Promise<boolean> => recordPayment(hold, made);
      this.#owe(hold.id, { credential: made.credential, record }, error);
    }
    tell(recorded);
    await kept;
    return made.credential;
  }

  /** Records all that was held: the wallet says that it paid, and proves nothing. */
  async completeUnproven({ hold, payment }: OpenPayment): Promise<void> {
    const tell = this.#teller(hold.id, { payment, msat: heldMsat(hold) });
    let recorded = false;
    try {
      recorded = await recordUnproven(hold, payment);
    } catch (error) {
      const record = (): Promise<boolean> => recordUnproven(hold, payment);
      this.#owe(hold.id, { credential: null, record }, error);
    }
    tell(recorded);
  }

  /** Gives the money of a payment back that failed for good. */
  async free(hold: Hold): Promise<void> {
    const begun = this.#begun.get(hold.id);
    if (begun !== undefined) begun.heldMsat = 0;
    try {
      await hold.release();
    } catch (error) {
      this.#owe(hold.id, { credential: null, record: () => hold.release() }, error);
    }
  }

  /**
   * Finds out what became of earlier payments for a resource. A payment that another process makes
   * just now is waited for.
   *
   * @returns What such a payment bought, or null where there is none and a new one may begin.
   * @throws L402PaymentError `PAYMENT_PENDING` while nobody knows.
   */
  async resolveFor(resource: string, signal: AbortSignal): Promise<Credential | null> {
    const since = performance.now();
    for (let pauseMs = 0; ; pauseMs = Math.min(2 * pauseMs + 50, 1_000)) {
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal });
      const answer = await this.#resolveOnce(resource);
      if (answer.state === 'made') return answer.credential;
      if (answer.state === 'free') {
        if (pauseMs === 0) return null;
        return (await this.#desk.credentials.find(resource))?.credential ?? null;
      }
      const waitedMs = performance.now() - since;
      if (!answer.mayBeOthers || waitedMs > OTHERS_PATIENCE_MS) {
        throw pendingError(answer.open, this.#desk.wallet, answer.cause);
      }
    }
  }

  /** Asks the wallet what became of a payment, and settles or releases its hold accordingly. */
  async lookUp({ hold, payment }: OpenPayment): Promise<Resolution> {
    const owed = this.#owed.get(hold.id);
    if (owed !== undefined) {
      await this.#recordOwed(hold.id);
      const { credential } = owed;
      return credential === null ? { state: 'free' } : { state: 'made', credential };
    }
    const { answer, cause } = await this.#ask(payment.paymentHash);
    if (answer === null) return { state: 'unknown', cause };
    if (answer.state === 'succeeded') {
      const made = madePayment(payment, answer);
      if (made === null) return { state: 'unknown' };
      return { state: 'made', credential: await this.complete(hold, made) };
    }
    if (!this.#isFree(answer, hold, payment)) return { state: 'unknown' };
    await this.free(hold);
    return { state: 'free' };
  }

  /** Looks after all other payments of this desk, now and then, in the background. */
  sweep(): void {
    const nowMs = performance.now();
    if (nowMs - this.#sweptAtMs < SWEEP_EVERY_MS) return;
    if (this.#desk.wallet.lookUpPayment === undefined) return;
    this.#sweptAtMs = nowMs;
    void this.resolveAll().catch((error: unknown) => this.#desk.failed(error));
  }

  /** Looks up to 100 open payments up. */
  async resolveAll(): Promise<Record<'made' | 'free' | 'unknown', number>> {
    const counts = { made: 0, free: 0, unknown: 0 };
    const found: OpenPayment[] = [];
    for await (const open of this.#open(this.#desk.labels)) {
      if (found.push(open) === MAX_SWEPT) break;
    }
    for (const open of found) {
      // One of this process may have begun since it was listed.
      if (this.#active.has(open.hold.id)) continue;
      counts[(await this.lookUp(open)).state] += 1;
    }
    return counts;
  }

  async #resolveOnce(resource: string): Promise<
    | Exclude<Resolution, { state: 'unknown' }>
    | {
        readonly state: 'unknown';
        readonly open: OpenPayment;
        readonly mayBeOthers: boolean;
        readonly cause: unknown;
      }
  > {
    const labels = { ...this.#desk.labels, url: urlLabel(resource) };
    let unknown: { open: OpenPayment; mayBeOthers: boolean; cause: unknown } | null = null;
    for await (const open of this.#open(labels)) {
      if (open.payment.resource !== resource) continue;
      const answer = await this.lookUp(open);
      if (answer.state === 'made') return answer;
      if (answer.state === 'free') continue;
      const ageMs = HELD_PAYMENT_TTL_MS - open.hold.remainingMs();
      const mayBeOthers = !this.#begun.has(open.hold.id) && ageMs < OTHERS_MAX_AGE_MS;
      // One that is surely nobody's work in progress decides.
      if (unknown?.mayBeOthers !== false) unknown = { open, mayBeOthers, cause: answer.cause };
    }
    return unknown === null ? { state: 'free' } : { state: 'unknown', ...unknown };
  }

  async *#open(labels: Labels): AsyncGenerator<OpenPayment> {
    for await (const hold of this.#desk.purse.holds({ labels, idPrefix: PAYMENT_ID_PREFIX })) {
      const payment = this.#active.has(hold.id) ? null : readHeldPayment(hold);
      if (payment !== null) yield { hold, payment };
    }
  }

  /** Asks the wallet; null for an answer that is none, and what kept it from giving one. */
  async #ask(
    paymentHash: string,
  ): Promise<{ readonly answer: PaymentState | null; readonly cause?: unknown }> {
    const { wallet } = this.#desk;
    if (wallet.lookUpPayment === undefined) return { answer: null };
    const signal = AbortSignal.timeout(LOOK_UP_TIMEOUT_MS);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      const answer = await Promise.race([wallet.lookUpPayment(paymentHash, { signal }), late]);
      return { answer: answer ?? null };
    } catch (cause) {
      return { answer: null, cause };
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** True when it is certain that a payment took no money and will take none. */
  #isFree({ state }: PaymentState, hold: Hold, payment: HeldPayment): boolean {
    if (state === 'failed') {
      if (payment.attempt === 1 || this.#begun.has(hold.id)) return true;
      return HELD_PAYMENT_TTL_MS - hold.remainingMs() > RETRY_SETTLED_AGE_MS;
    }
    return state === 'unknown' && Date.now() > payment.expiresAtMs + NEVER_ASKED_AFTER_MS;
  }

  /** Tells of a payment's money once: of one begun elsewhere, when it was recorded here. */
  #teller(
    id: string,
    { payment, msat }: Pick<MadePayment, 'payment' | 'msat'>,
  ): (recorded: boolean) => void {
    const begun = this.#begun.get(id);
    const told = begun?.told === true;
    if (begun !== undefined) this.#begun.set(id, { url: begun.url, told: true, heldMsat: 0 });
    return (recorded) => {
      if (told || (begun === undefined && !recorded)) return;
      this.#desk.spent({ url: begun?.url ?? payment.resource, resource: payment.resource, msat });
    };
  }

  /** Keeps what the store could not be told, and tells of the failure. */
  #owe(id: string, owed: OwedRecord, error: unknown): void {
    this.#owed.set(id, owed);
    this.#recordLater(FIRST_RECORD_PAUSE_MS);
    this.#desk.failed(error);
  }

  /** Records what is owed once the store is back. It keeps no process alive: the holds stand. */
  #recordLater(pauseMs: number): void {
    if (this.#recording) return;
    this.#recording = true;
    setTimeout(() => void this.#recordAllOwed(pauseMs), pauseMs).unref();
  }

  async #recordAllOwed(pauseMs: number): Promise<void> {
    for (const id of this.#owed.keys()) await this.#recordOwed(id);
    this.#recording = false;
    if (this.#owed.size > 0) this.#recordLater(Math.min(2 * pauseMs, MAX_RECORD_PAUSE_MS));
  }

  async #recordOwed(id: string): Promise<void> {
    const owed = this.#owed.get(id);
    if (owed === undefined) return;
    try {
      await owed.record();
      this.#owed.delete(id);
    } catch (error) {
      this.#desk.failed(error);
    }
  }
}

function heldMsat({ amounts }: Hold): number {
  return Math.round((amounts['sats'] ?? 0) * 1_000);
}

/** Says that a payment may be on its way, and what can be done about it. */
export function pendingError(
  { hold, payment }: OpenPayment,
  wallet: L402Wallet,
  cause: unknown,
  invoice = '',
): L402PaymentError {
  const remedy =
    wallet.lookUpPayment === undefined
      ? `this wallet cannot look it up, so find out, and settle or release the hold ${hold.id}`
      : 'ask again later, and it is looked up first';
  return new L402PaymentError(
    'PAYMENT_PENDING',
    `Nobody knows yet whether a payment of ${toSats(payment.amountMsat)} sats for ` +
      `${payment.resource} was made (payment hash ${payment.paymentHash}); it stays held and ` +
      `nothing more is paid there: ${remedy}`,
    { invoice, outcome: 'unknown', retryable: wallet.lookUpPayment !== undefined, cause },
  );
}
