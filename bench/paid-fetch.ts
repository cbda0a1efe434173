/**
 * What does paying add to a fetch? The same requests through a bare fetch and through `paidFetch`, in
 * turn, against a fetch that answers at once, where nothing hides the difference; and a whole payment
 * beside the two bare requests and the wallet that it is made of. The purse is in memory and has three
 * matching limits.
 *
 * Aims, as medians: a fetch that needs no payment under 30 µs over the bare one, one with a credential
 * at hand under 50 µs, and a payment under 2 ms over its wallet's own time.
 */
import { createHash, randomBytes } from 'node:crypto';
import bolt11 from 'bolt11';
import { openPurse } from 'pursestrings';
import { paidFetch } from 'pursestrings/l402';
import { median } from './harness.ts';

const NODE_KEY = randomBytes(32).toString('hex');
const REGTEST = {
  bech32: 'bcrt',
  pubKeyHash: 0x6f,
  scriptHash: 0xc4,
  validWitnessVersions: [0, 1],
};
const FREE = 'https://free.example.com/page';
const PAID = 'https://paid.example.com/page';
const PAYMENTS = 300;

const purse = await openPurse({
  limits: [
    { name: 'all', cap: { sats: 1e9 } },
    { name: 'site', cap: { sats: 1e9 }, each: ['domain'], per: 'day' },
    { name: 'agent', cap: { sats: 1e9 }, each: ['agent'], per: 'hour' },
  ],
});
const labels = { agent: 'a1' };

interface Invoice {
  readonly text: string;
  readonly preimage: string;
}

function mint(): Invoice {
  const preimage = randomBytes(32);
  const paymentHash = createHash('sha256').update(preimage).digest('hex');
  const unsigned = bolt11.encode({
    network: { ...REGTEST },
    millisatoshis: '60000',
    tags: [
      { tagName: 'payment_hash', data: paymentHash },
      { tagName: 'description', data: 'a page' },
    ],
  });
  const signed = bolt11.sign(unsigned, NODE_KEY);
  return { text: String(signed.paymentRequest), preimage: preimage.toString('hex') };
}

const invoices = Array.from({ length: PAYMENTS }, mint);
const preimages = new Map(invoices.map(({ text, preimage }) => [text, preimage]));
const wallet = {
  payInvoice: async (text: string): Promise<{ preimage: string }> => ({
    preimage: preimages.get(text) ?? '',
  }),
};

/** Answers at once: 402 to who asks for something to pay and has not. */
let next = 0;
const atOnce = (async (input: string, init?: RequestInit) => {
  const paid = new Headers(init?.headers).has('authorization');
  if (paid || input === FREE) return new Response('the goods');
  const invoice = invoices[next % PAYMENTS]?.text ?? '';
  next += 1;
  const challenge = `L402 macaroon="${Buffer.from(`token-${next}`).toString('base64')}", invoice="${invoice}"`;
  return new Response('pay', { status: 402, headers: { 'www-authenticate': challenge } });
}) as unknown as typeof fetch;

async function microseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1_000;
}

/** Times two kinds of work in turn, so that whatever else the machine does falls on both. */
async function compare(
  question: string,
  rounds: number,
  aimMicroseconds: number,
  bare: (round: number) => Promise<unknown>,
  paid: (round: number) => Promise<unknown>,
): Promise<void> {
  const times: { bare: number[]; paid: number[]; added: number[] } = {
    bare: [],
    paid: [],
    added: [],
  };
  for (let round = 0; round < rounds; round += 1) {
    const first = await microseconds(() => bare(round));
    const second = await microseconds(() => paid(round));
    if (round < rounds / 5) continue;
    times.bare.push(first);
    times.paid.push(second);
    times.added.push(second - first);
  }
  const [raw, ours, added] = [median(times.bare), median(times.paid), median(times.added)];
  console.log(
    `${question.padEnd(44)} bare ${raw.toFixed(1).padStart(8)} µs   paid ${ours.toFixed(1).padStart(8)} µs   ` +
      `added ${added.toFixed(1).padStart(8)} µs   ratio ${(ours / raw).toFixed(2)} ` +
      `(under ${aimMicroseconds} µs: ${added < aimMicroseconds ? 'reached' : 'MISSED'})`,
  );
}

const fetchPaid = paidFetch(purse, { wallet, labels, fetch: atOnce });
const request = { headers: { accept: 'application/json' } };
const authorized = { headers: { accept: 'application/json', authorization: 'L402 a:b' } };

await compare(
  'a fetch that needs no payment',
  20_000,
  30,
  async () => (await atOnce(FREE, request)).text(),
  async () => (await fetchPaid(FREE, request)).text(),
);

await (await fetchPaid(PAID, request)).text();
await compare(
  'a fetch with a credential at hand',
  20_000,
  50,
  async () => (await atOnce(PAID, authorized)).text(),
  async () => (await fetchPaid(PAID, request)).text(),
);

next = 1;
await compare(
  'a payment: challenge, hold, pay, settle, retry',
  PAYMENTS - 1,
  2_000,
  async (round) => {
    await new Response('pay', { status: 402 }).text();
    await wallet.payInvoice(invoices[round]?.text ?? '');
    await (await atOnce(PAID, authorized)).text();
  },
  async (round) => (await fetchPaid(`${PAID}/${round}`, request)).text(),
);
await purse.close();
