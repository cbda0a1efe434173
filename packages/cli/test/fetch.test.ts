import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type LoopbackPaywall, loopbackPaywall } from 'pursestrings/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { purse, purseHere, purseJsonHere, temporaryDirectory, writeTo } from './purse-process.ts';

/** What `--json` says of a page. */
interface Had {
  readonly status: number;
  readonly payments: number;
  readonly paidSats: number;
  readonly body?: string;
}

let paywall: LoopbackPaywall;
let url: string;

beforeAll(async () => {
  paywall = await loopbackPaywall({ priceMsat: 12_500, feeMsat: 375 });
  url = `${paywall.url}/now`;
  vi.stubEnv('PURSE_WALLET', `lnbits:${paywall.walletUrl}`);
  vi.stubEnv('PURSE_WALLET_SECRET', paywall.walletKey);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await paywall.close();
});

/** A ledger in a file, with a limit in sats. */
async function ledger(sats: number): Promise<string> {
  const store = `sqlite:${join(temporaryDirectory(), 'purse.db')}`;
  await purseJsonHere(['limits', 'set', '-s', store, '--name', 'day', '--cap', `sats=${sats}`]);
  return store;
}

describe('purse fetch', () => {
  test('pays for a page and prints it, as a program of its own', async () => {
    const ended = await purse(['fetch', url, '--max-sats', '50']);
    expect(ended.status).toBe(0);
    expect(ended.stdout).toBe('{"path":"/now"}');
    expect(ended.stderr).toBe(`Paid 12.875 sats for ${url}.\n`);
  });

  test('charges a ledger, by labels, and pays for one page once', async () => {
    const store = await ledger(100);
    const fetch = ['fetch', url, '-s', store, '--label', 'agent=a1'];
    expect(await purseJsonHere<Had>(fetch)).toMatchObject({
      status: 200,
      payments: 1,
      paidSats: 12.875,
    });
    expect(await purseJsonHere<Had>(fetch)).toMatchObject({
      status: 200,
      payments: 0,
      paidSats: 0,
    });
    const report = await purseJsonHere<{ rows: object[] }>([
      'report',
      '-s',
      store,
      '--by',
      'agent,domain',
    ]);
    expect(report.rows).toMatchObject([
      { labels: { agent: 'a1', domain: '127.0.0.1' }, amounts: { sats: 12.875 } },
    ]);
  });

  test('pays nothing that the ledger does not leave', async () => {
    const store = await ledger(12);
    const { payments } = paywall.bill;
    const ended = await purseHere(['fetch', url, '-s', store]);
    expect(ended).toMatchObject({ status: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^purse: .*day.*12\.5/);
    expect(paywall.bill.payments).toBe(payments);
  });

  test('pays nothing over --max-sats, with a ledger and without', async () => {
    const store = await ledger(1000);
    const { payments } = paywall.bill;
    for (const where of [[], ['-s', store]]) {
      const ended = await purseHere(['fetch', url, '--max-sats', '12.4', ...where]);
      expect(ended).toMatchObject({ status: 1, stdout: '' });
    }
    expect(paywall.bill.payments).toBe(payments);
  });

  test('writes a body into a file as it is, and takes no file that is there', async () => {
    const file = join(temporaryDirectory(), 'page.json');
    const args = ['fetch', url, '--max-sats', '50', '-o', file];
    expect(await purseJsonHere(args)).toMatchObject({ output: file, bytes: 15, paidSats: 12.875 });
    expect(readFileSync(file, 'utf8')).toBe('{"path":"/now"}');
    const { payments } = paywall.bill;
    const again = await purseHere(args);
    expect(again.status).toBe(2);
    expect(again.stderr).toContain('is there already');
    expect(paywall.bill.payments).toBe(payments);
  });

  test('sends a method, headers and data, again after paying', async () => {
    const echo = await serveEcho();
    const file = writeTo(temporaryDirectory(), 'body.json', '{"a":1}');
    const base = [
      'fetch',
      echo,
      '--max-sats',
      '1',
      '-H',
      'x-one: 1',
      '-H',
      'content-type: application/json',
    ];
    const had = await purseJsonHere<Had>([...base, '-d', `@${file}`]);
    expect(JSON.parse(had.body ?? '')).toMatchObject({
      method: 'POST',
      body: '{"a":1}',
      headers: { 'x-one': '1', 'content-type': 'application/json' },
    });
    const put = await purseJsonHere<Had>([
      'fetch',
      echo,
      '--max-sats',
      '1',
      '-X',
      'put',
      '-d',
      'a=1',
    ]);
    expect(JSON.parse(put.body ?? '')).toMatchObject({
      method: 'PUT',
      body: 'a=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
  });

  test('ends with 1 for an answer that is an error, and hands it on', async () => {
    const ended = await purseHere(['fetch', `${await serveEcho()}missing`, '--max-sats', '1']);
    expect(ended.status).toBe(1);
    expect(ended.stdout).toContain('"url":"/missing"');
    expect(ended.stderr).toContain('answered 404');
  });

  test('ends with 1 where nobody listens', async () => {
    const ended = await purseHere(['fetch', 'http://127.0.0.1:9/', '--max-sats', '1']);
    expect(ended).toMatchObject({ status: 1, stdout: '' });
    expect(ended.stderr).toContain('cannot be reached');
  });
});

describe('purse fetch --dry-run', () => {
  test('says what it would cost, and pays nothing', async () => {
    const store = await ledger(100);
    const { payments } = paywall.bill;
    const ended = await purseHere(['fetch', url, '--dry-run', '-s', store]);
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    expect(ended.stdout).toMatch(
      /costs 12\.5 sats\n.*to 127\.0\.0\.1, node 0[23]\w{64}.*\n.*would be paid/,
    );
    const json = await purseJsonHere(['fetch', url, '--dry-run', '-s', store]);
    expect(json).toMatchObject({ status: 402, allowed: true, payment: { amountSats: 12.5 } });
    expect(paywall.bill.payments).toBe(payments);
    const { balances } = await purseJsonHere<{ balances: object[] }>(['balances', '-s', store]);
    expect(balances).toMatchObject([{ spent: 0, held: 0 }]);
  });

  test('ends with 1 where it would be denied, or is over --max-sats', async () => {
    const store = await ledger(12);
    for (const where of [
      ['-s', store],
      ['--max-sats', '12'],
    ]) {
      const ended = await purseHere(['fetch', url, '--dry-run', ...where]);
      expect(ended.status).toBe(1);
      expect(ended.stdout).toContain('It would not be paid:');
    }
  });

  test('needs no wallet', async () => {
    vi.stubEnv('PURSE_WALLET', '');
    onTestFinished(() => void vi.stubEnv('PURSE_WALLET', `lnbits:${paywall.walletUrl}`));
    expect((await purseHere(['fetch', url, '--dry-run', '--max-sats', '50'])).status).toBe(0);
    const ended = await purseHere(['fetch', url, '--max-sats', '50']);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain('PURSE_WALLET');
  });

  test('says of a page that is free, or paid for, that it costs nothing', async () => {
    const free = await purseHere(['fetch', await serveEcho(), '--dry-run', '--max-sats', '1']);
    expect(free).toMatchObject({ status: 0, stdout: 'It costs nothing (status 200).' });
    const store = await ledger(100);
    await purseHere(['fetch', url, '-s', store]);
    const paid = await purseHere(['fetch', url, '--dry-run', '-s', store]);
    expect(paid).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('paid for before') as string,
    });
  });
});

describe('misuse of purse fetch ends with 2', () => {
  test.each([
    ['no URL', ['weather'], /no http or https URL/],
    ['a file', ['file:///etc/passwd'], /no http or https URL/],
    ['no limit', ['http://x.test/'], /Nothing says how much may be paid/],
    ['no number', ['http://x.test/', '--max-sats', 'all'], /--max-sats is "all"/],
    ['a negative number', ['http://x.test/', '--max-sats=-1'], /--max-sats is "-1"/],
    [
      'data to GET',
      ['http://x.test/', '--max-sats', '1', '-X', 'GET', '-d', 'x'],
      /--data cannot go with GET/,
    ],
    [
      'a header without a name',
      ['http://x.test/', '--max-sats', '1', '-H', 'secretword'],
      /a header without a name/,
    ],
    [
      'data that is not there',
      ['http://x.test/', '--max-sats', '1', '-d', '@/none'],
      /no such file/,
    ],
    ['a store that is not there', ['http://x.test/', '-s', 'sqlite:/none/x.db'], /no such file/],
  ])('%s', async (_, args, message) => {
    const ended = await purseHere(['fetch', ...args]);
    expect(ended).toMatchObject({ status: 2, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr).not.toContain('secretword');
  });

  test.each([
    ['of no kind', 'secretword', /names no kind of wallet/],
    ['of an unknown kind', 'paypal:secretword', /names no kind of wallet/],
    ['whose address is no URL', 'lnd:secretword', /no URL/],
    ['without a secret', 'lnbits:https://lnbits.example', /has no secret/],
    ['of NWC that is none', 'nwc:secretword', /connection string/],
    [
      'of NWC with half a secret',
      'nostr+walletconnect://ab?secret=secretword',
      /connection string/,
    ],
  ])('a wallet %s, whose value is not repeated', async (_, wallet, message) => {
    vi.stubEnv('PURSE_WALLET_SECRET', '');
    onTestFinished(() => void vi.stubEnv('PURSE_WALLET_SECRET', paywall.walletKey));
    const ended = await purseHere(['fetch', url, '--max-sats', '50', '-w', wallet]);
    expect(ended).toMatchObject({ status: 2, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr).not.toContain('secretword');
  });

  test('a wallet in the config file that is no text is not repeated either', async () => {
    const config = writeTo(temporaryDirectory(), 'purse.yaml', 'wallet: { key: secretword }');
    const ended = await purseHere(['fetch', url, '--max-sats', '50', '-c', config]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).not.toContain('secretword');
  });
});

test.each([
  ['an option with the secret in it', (wallet: string) => ['-w', wallet], ''],
  ['a config file', (wallet: string) => ['-c', configOf(wallet)], ''],
])('a wallet is named by %s', async (_, args, environment) => {
  vi.stubEnv('PURSE_WALLET', environment);
  vi.stubEnv('PURSE_WALLET_SECRET', '');
  onTestFinished(() => {
    vi.stubEnv('PURSE_WALLET', `lnbits:${paywall.walletUrl}`);
    vi.stubEnv('PURSE_WALLET_SECRET', paywall.walletKey);
  });
  const wallet = `lnbits:${paywall.walletUrl.replace('//', `//${paywall.walletKey}@`)}`;
  const had = await purseJsonHere<Had>(['fetch', url, '--max-sats', '50', ...args(wallet)]);
  expect(had).toMatchObject({ status: 200, paidSats: 12.875 });
});

function configOf(wallet: string): string {
  return writeTo(temporaryDirectory(), 'purse.yaml', `wallet: ${JSON.stringify(wallet)}\n`);
}

/** A server that answers what it was asked; `/missing` is not there. */
async function serveEcho(): Promise<string> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => {
      body += piece.toString();
    });
    request.on('end', () => {
      const { method, headers, url: path } = request;
      response.writeHead(path === '/missing' ? 404 : 200);
      response.end(JSON.stringify({ method, headers, url: path, body }));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
