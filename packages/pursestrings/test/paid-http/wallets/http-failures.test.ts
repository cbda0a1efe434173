import { createServer } from 'node:net';
import { inspect } from 'node:util';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { failureOf } from '../../lightning/failures.ts';
import { LightningBench } from '../../lightning/lightning-bench.ts';
import type { LoopbackWallet, WalletReply } from '../../lightning/loopback-wallet.ts';
import { type HttpWalletCase, httpWalletCases } from '../../lightning/wallet-cases.ts';

let bench: LightningBench;

beforeAll(async () => {
  bench = await LightningBench.open();
});

beforeEach(() => {
  bench.mood = 'claim';
});

/** What every one of these wallets makes of an answer that its format does not know. */
const broken: readonly (readonly [name: string, reply: WalletReply, failure: string])[] = [
  ['an empty answer', { status: 200, body: '' }, 'unknown OUTCOME_UNKNOWN'],
  ['a page of HTML', { status: 200, body: '<h1>hello</h1>' }, 'unknown OUTCOME_UNKNOWN'],
  ['half an answer', { status: 200, body: '{"result":{"sta' }, 'unknown OUTCOME_UNKNOWN'],
  ['a list', { status: 200, body: [1, 2] }, 'unknown OUTCOME_UNKNOWN'],
  ['null', { status: 200, body: 'null' }, 'unknown OUTCOME_UNKNOWN'],
  [
    'a gateway that is down',
    { status: 502, body: '<h1>Bad Gateway</h1>' },
    'unknown OUTCOME_UNKNOWN',
  ],
  ['a gateway that gave up', { status: 504, body: '' }, 'unknown OUTCOME_UNKNOWN'],
  ['a time-out of the server', { status: 408, body: '' }, 'unknown OUTCOME_UNKNOWN'],
  ['a redirect elsewhere', { status: 307, body: '' }, 'failed WALLET_REFUSED'],
  ['a redirect to what came of it', { status: 303, body: '' }, 'unknown OUTCOME_UNKNOWN'],
  ['a refused secret', { status: 401, body: '{}' }, 'failed WALLET_REFUSED'],
  ['a missing right', { status: 403, body: '{}' }, 'failed WALLET_REFUSED'],
  ['too many requests', { status: 429, body: '{}' }, 'failed WALLET_REFUSED'],
];

describe.each(Object.entries(httpWalletCases))('%s', (name, make) => {
  let made: HttpWalletCase;
  let server: LoopbackWallet;

  beforeAll(async () => {
    made = await make(bench);
    ({ server } = made);
  });

  beforeEach(() => {
    Object.assign(server.faults, { drop: undefined, hang: false, instead: undefined });
  });

  afterAll(async () => {
    await made.end();
  });

  test.each(broken)('meets %s', async (_, instead, failure) => {
    const invoice = bench.invoice(5000);
    server.faults.instead = instead;
    expect(await failureOf(made.wallet.payInvoice(invoice))).toBe(failure);
  });

  test('cannot tell whether it paid when the connection is lost', async () => {
    const [before, after] = [bench.invoice(5000), bench.invoice(6000)];
    server.faults.drop = 'before';
    expect(await failureOf(made.wallet.payInvoice(before))).toBe('unknown OUTCOME_UNKNOWN');
    server.faults.drop = 'after';
    expect(await failureOf(made.wallet.payInvoice(after))).toBe('unknown OUTCOME_UNKNOWN');
    const states = [before, after].map((invoice) =>
      made.wallet.lookUpPayment(bench.hashOf(invoice)).then(({ state }) => state),
    );
    expect(await Promise.all(states)).toEqual(['unknown', 'succeeded']);
  });

  test('cannot tell whether it paid when no answer comes in time', async () => {
    const wallet = made.again({ timeoutMs: 150 });
    const invoice = bench.invoice(5000);
    server.faults.hang = true;
    const error = await wallet.payInvoice(invoice).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown', invoice });
    expect((error as Error).message).toContain('did not answer in 150 ms');
    const { state } = await made.wallet.lookUpPayment(bench.hashOf(invoice));
    expect(state).toBe('succeeded');
  });

  test('stops reading an answer without an end', async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 20).fill(0x20)),
    });
    const wallet = made.again({ fetch: async () => new Response(endless) });
    const error = await wallet.payInvoice(bench.invoice(5000)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ outcome: 'unknown' });
    expect((error as Error).message).toContain('over 8 MiB');
  });

  test('has not paid where nobody listens', async () => {
    const wallet = made.again({ url: `http://127.0.0.1:${await freePort()}` });
    expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe(
      'failed WALLET_UNREACHABLE',
    );
    expect(await failureOf(wallet.lookUpPayment('ab'.repeat(32)))).toBe('unknown LOOK_UP_FAILED');
  });

  test('makes nothing certain of a fetch that may have tried before', async () => {
    const refusedAtLast = async (): Promise<never> => {
      throw Object.assign(new TypeError('fetch failed'), { code: 'ECONNREFUSED' });
    };
    const wallet = made.again({ fetch: refusedAtLast });
    expect(await failureOf(wallet.payInvoice(bench.invoice(5000)))).toBe('unknown OUTCOME_UNKNOWN');
  });

  test.each([
    ['a page', '<h1>hello</h1>'],
    ['nothing', ''],
    ['a success without a preimage', { ...succeededWithout[name] }],
  ])('a look-up that is answered by %s says nothing', async (_, body) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const wallet = made.again({ fetch: async () => new Response(text) });
    expect(await failureOf(wallet.lookUpPayment('ab'.repeat(32)))).toBe('unknown LOOK_UP_FAILED');
  });

  test('repeats no secret, whoever says it', async () => {
    const said = `the key ${made.secret}\u001B[2J\nis wrong`;
    const body = {
      message: said,
      detail: said,
      error: { message: said },
      errors: [{ message: said }],
    };
    server.faults.instead = { status: 401, body };
    const error = await made.wallet
      .payInvoice(bench.invoice(5000))
      .catch((thrown: unknown) => thrown);
    const shown = inspect(error, { depth: 9, showHidden: true });
    expect(shown).not.toContain(made.secret);
    expect((error as Error).message).toMatch(/the key \[secret\] \[2J is wrong/);
    const nowhere = made.again({ url: `http://127.0.0.1:${await freePort()}` });
    const lost = await nowhere.payInvoice(bench.invoice(5000)).catch((thrown: unknown) => thrown);
    expect(inspect(lost, { depth: 9, showHidden: true })).not.toContain(made.secret);
  });
});

/** A payment that succeeded, as each look-up says it, without what proves it. */
const succeededWithout: Readonly<Record<string, object>> = {
  LND: { result: { status: 'SUCCEEDED', payment_preimage: '0'.repeat(64) } },
  Alby: { type: 'outgoing', state: 'settled', preimage: null },
  LNbits: { paid: true, preimage: '0'.repeat(64) },
  Blink: { data: { me: { defaultAccount: { walletById: null } } } },
};

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}
