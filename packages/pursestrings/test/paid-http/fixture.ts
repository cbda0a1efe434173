import assert from 'node:assert/strict';
import { onTestFinished } from 'vitest';
import type { Charge } from '../../src/charge.ts';
import type { Limit } from '../../src/ledger/limit.ts';
import { paidFetch, type PaidFetchOptions } from '../../src/paid-http/paid-fetch.ts';
import { openPurse, type Purse } from '../../src/purse.ts';
import { Lightning, type TestWallet, type WalletTerms } from './lightning.ts';

/** What a test pays with. */
export interface Till {
  readonly purse: Purse;
  readonly lightning: Lightning;
  readonly wallet: TestWallet;
  readonly fetch: typeof fetch;
  /** The purse's `error` events. */
  readonly errors: unknown[];
  /** A second fetch on the same purse, as another process would make it. */
  again(options?: Partial<PaidFetchOptions>): typeof fetch;
  charges(): Promise<readonly Charge[]>;
  heldSats(): Promise<number>;
  /** What must hold whatever a server does. */
  checkBooks(): Promise<void>;
}

/** How a test pays. */
export interface TillTerms extends WalletTerms {
  readonly capSats?: number;
  readonly limits?: readonly Limit[];
  readonly options?: Partial<PaidFetchOptions>;
  readonly store?: Parameters<typeof openPurse>[0];
}

/** A purse of 1,000 sats, a wallet, and a fetch between them. The books are checked at the end. */
export async function openTill(terms: TillTerms = {}): Promise<Till> {
  const limits = terms.limits ?? [{ name: 'all', cap: { sats: terms.capSats ?? 1_000 } }];
  const purse = await openPurse({ limits, ...terms.store });
  const errors: unknown[] = [];
  purse.on('error', (error) => errors.push(error));
  const lightning = new Lightning();
  const wallet = lightning.wallet(terms);
  const again = (options: Partial<PaidFetchOptions> = {}): typeof fetch =>
    paidFetch(purse, { wallet, ...terms.options, ...options });
  const till: Till = {
    purse,
    lightning,
    wallet,
    fetch: again(),
    errors,
    again,
    charges: () => Array.fromAsync(purse.journal({ order: 'oldest' })),
    heldSats: async () => {
      const holds = await Array.fromAsync(purse.holds());
      return holds.reduce((sum, hold) => sum + (hold.amounts['sats'] ?? 0), 0);
    },
    checkBooks: () => checkBooks(till),
  };
  onTestFinished(async () => {
    await till.checkBooks();
    await purse.close();
  });
  return till;
}

/** Never twice, never more than is charged or held, never over a cap. */
async function checkBooks({ purse, wallet, charges, heldSats }: Till): Promise<void> {
  const paid = wallet.payments.map(({ paymentHash }) => paymentHash);
  assert.equal(new Set(paid).size, paid.length, 'an invoice was paid twice');
  const paidMsat = wallet.payments.reduce((sum, { msat }) => sum + msat, 0);
  const charged = (await charges()).reduce((sum, { amounts }) => sum + (amounts['sats'] ?? 0), 0);
  const countedMsat = Math.round((charged + (await heldSats())) * 1_000);
  assert.ok(paidMsat <= countedMsat, `paid ${paidMsat} msat, counted ${countedMsat}`);
  for await (const { unit, cap, spent, held, limit } of purse.balances()) {
    assert.ok(spent + held <= cap, `${limit}: ${spent} + ${held} ${unit} on a cap of ${cap}`);
  }
  assert.deepEqual((await purse.verify()).mismatches, []);
}
