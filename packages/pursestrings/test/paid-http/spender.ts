/**
 * A process that pays for a page: `spender.ts <ledger file> <wallet file> <url> <when to hang>`. Its
 * wallet remembers in a file, as a wallet in the world does. It says where it is, and hangs there
 * until it is killed, or else says what it read.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { openPurse } from '../../src/index.ts';
import { type L402Wallet, paidFetch, type PaymentState } from '../../src/paid-http/index.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

const [ledger = '', walletFile = '', url = '', hangs = 'never'] = process.argv.slice(2);

/** What every invoice of the test is paid with, by its payment hash. */
type Payments = Readonly<Record<string, { readonly preimage: string; readonly feeMsat: number }>>;

function payments(): Payments {
  if (!existsSync(walletFile)) return {};
  const lines = readFileSync(walletFile, 'utf8').trim().split('\n');
  return Object.fromEntries(lines.map((line) => JSON.parse(line) as [string, Payments[string]]));
}

async function hang(place: string): Promise<void> {
  if (hangs !== place) return;
  process.stdout.write(`${place}\n`);
  await new Promise((resolve) => {
    setInterval(resolve, 2 ** 31 - 1);
  });
}

const wallet: L402Wallet = {
  limitsFees: true,
  network: 'regtest',
  payInvoice: async (bolt11) => {
    await hang('before paying');
    // The node that is paid gives the preimage, and the wallet keeps it: that is the payment.
    const answer = await fetch(new URL('/pay', url), { method: 'POST', body: bolt11 });
    const { paymentHash, preimage } = (await answer.json()) as Record<string, string>;
    appendFileSync(walletFile, `${JSON.stringify([paymentHash, { preimage, feeMsat: 1_250 }])}\n`);
    await hang('after paying');
    return { preimage: preimage ?? '', feeMsat: 1_250 };
  },
  lookUpPayment: async (paymentHash): Promise<PaymentState> => {
    const payment = payments()[paymentHash];
    return payment === undefined ? { state: 'unknown' } : { state: 'succeeded', ...payment };
  },
};

const purse = await openPurse({
  store: sqlite(ledger),
  limits: [{ name: 'all', cap: { sats: 100 } }],
});
const settled = purse.on('charge', () => {
  if (hangs === 'after settling') {
    process.stdout.write('after settling\n');
    // Nothing more of this turn may happen: no credential is kept, no request sent.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
});
process.stdout.write('ready\n');
try {
  const answer = await paidFetch(purse, { wallet, labels: { agent: 'a1' } })(url);
  process.stdout.write(`${answer.status} ${await answer.text()}\n`);
} catch (error) {
  process.stdout.write(`${String((error as { code?: unknown }).code)}\n`);
}
settled();
await purse.close();
process.exit(0);
