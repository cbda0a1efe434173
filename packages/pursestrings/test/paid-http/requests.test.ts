import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { L402Client } from '../../src/paid-http/l402-client.ts';
import { openTill } from './fixture.ts';
import { mintInvoice } from './invoices.ts';
import { challengeOf, paidPage, serve, wants } from './paywall.ts';

type Body = NonNullable<RequestInit['body']>;

describe('a request goes out again as it was', () => {
  const bytes = new TextEncoder().encode('{"q":1}');
  const form = new FormData();
  form.set('q', '1');
  const bodies: Record<string, [Body, string]> = {
    'a string': ['{"q":1}', '{"q":1}'],
    bytes: [bytes, '{"q":1}'],
    'a buffer': [bytes.buffer, '{"q":1}'],
    'a blob': [new Blob(['{"q":1}']), '{"q":1}'],
    parameters: [new URLSearchParams({ q: '1' }), 'q=1'],
  };
  test.each(Object.entries(bodies))('with %s', async (_name, [body, text]) => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const headers = new Headers({ 'x-trace': 't1', 'content-type': 'application/x-mine' });
    const answer = await till.fetch(`${url}/page`, { method: 'PUT', headers, body });
    expect(answer.status).toBe(200);
    const sent = seen.map(({ method, body }) => [method, body]);
    expect(sent).toEqual([
      ['PUT', text],
      ['PUT', text],
    ]);
    expect(seen.map(({ headers }) => [headers['x-trace'], headers['content-type']])).toEqual([
      ['t1', 'application/x-mine'],
      ['t1', 'application/x-mine'],
    ]);
    expect([...headers.keys()]).toEqual(['content-type', 'x-trace']);
  });

  test('with a form', async () => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    expect((await till.fetch(`${url}/page`, { method: 'POST', body: form })).status).toBe(200);
    for (const { headers, body } of seen) {
      expect(headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
      expect(body).toContain('name="q"');
    }
  });

  test('as a Request with a body and headers of its own', async () => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const request = new Request(`${url}/page`, {
      method: 'POST',
      body: 'question',
      headers: { 'x-trace': 't1' },
    });
    expect((await till.fetch(request)).status).toBe(200);
    expect(seen.map(({ method, body, headers }) => [method, body, headers['x-trace']])).toEqual([
      ['POST', 'question', 't1'],
      ['POST', 'question', 't1'],
    ]);
    // Paid for by now: the credential is there at once.
    expect((await till.fetch(new Request(`${url}/page`), { headers: { a: 'b' } })).status).toBe(
      200,
    );
    expect(seen).toHaveLength(3);
    expect(seen[2]?.headers['a']).toBe('b');
  });

  test('as a Request that its init overrides', async () => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const request = new Request(`${url}/page`, { headers: { 'x-trace': 'no' } });
    await till.fetch(request, { method: 'POST', body: 'yes', headers: { 'x-trace': 'yes' } });
    expect(seen.map(({ method, body, headers }) => [method, body, headers['x-trace']])).toEqual([
      ['POST', 'yes', 'yes'],
      ['POST', 'yes', 'yes'],
    ]);
  });
});

test('one URL that counts asks for each page, and pays for each', async () => {
  const till = await openTill();
  const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
  const { wallet } = till;
  for (const fetch of [till.fetch, new L402Client({ wallet, purse: till.purse }).fetch]) {
    const page = new URL(url);
    const answers = ['/1', '/2', '/3'].map((path) => {
      page.pathname = path;
      return fetch(page);
    });
    const urls = (await Promise.all(answers)).map((answer) => answer.url);
    expect(urls).toEqual([`${url}/1`, `${url}/2`, `${url}/3`]);
  }
  const headers = new Headers({ 'x-trace': 't1' });
  const answer = till.fetch(`${url}/4`, { headers });
  headers.set('x-trace', 't2');
  await answer;
  expect(seen.slice(-2).map(({ headers }) => headers['x-trace'])).toEqual(['t1', 't1']);
});

describe('a body that can be sent once is refused before paying', () => {
  const streams: Record<string, () => RequestInit> = {
    'a stream': () => ({ body: new Blob(['a']).stream() }),
    'an iterator': () => ({
      body: (async function* () {
        yield new TextEncoder().encode('a');
      })() as unknown as Body,
    }),
    'a stream of Node': () => ({
      body: Readable.from([Buffer.from('a')]) as unknown as Body,
    }),
  };
  test.each(Object.entries(streams))('%s', async (_name, init) => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const options = { method: 'POST', duplex: 'half', ...init() } as RequestInit;
    await expect(till.fetch(`${url}/page`, options)).rejects.toMatchObject({
      code: 'BODY_NOT_REPEATABLE',
    });
    expect(till.wallet.asked).toEqual([]);
    // Paid for by another request, it goes out with the credential.
    await till.fetch(`${url}/page`);
    const again = { method: 'POST', duplex: 'half', ...init() } as RequestInit;
    expect((await till.fetch(`${url}/page`, again)).status).toBe(200);
    expect(seen.at(-1)?.body).toBe('a');
    expect(till.wallet.payments).toHaveLength(1);
  });
});

describe('a Request whose stream is not whole when money is asked for is not paid', () => {
  const chunk = new TextEncoder().encode('a');

  /** Asks for money before it has read what it is sent. */
  async function serveEarly(): Promise<string> {
    const server = createServer((_request, response) => {
      response.writeHead(402, { 'www-authenticate': challengeOf(mintInvoice().bolt11) }).end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/page`;
  }

  test('when it breaks off', async () => {
    const till = await openTill();
    const url = await serveEarly();
    let pulls = 0;
    const body = new ReadableStream({
      pull: async (controller) => {
        await sleep(10);
        pulls += 1;
        if (pulls < 10) controller.enqueue(chunk);
        else controller.error(new Error('broken off'));
      },
    });
    const request = new Request(url, { method: 'POST', body, duplex: 'half' });
    await expect(till.fetch(request)).rejects.toThrow('broken off');
    expect(till.wallet.asked).toEqual([]);
  });

  test('when it has no end, until the caller gives up', async () => {
    const till = await openTill();
    const url = await serveEarly();
    let cancelled = false;
    const body = new ReadableStream({
      pull: async (controller) => {
        await sleep(10);
        controller.enqueue(chunk);
      },
      cancel: () => {
        cancelled = true;
      },
    });
    const signal = AbortSignal.timeout(200);
    const init = { method: 'POST', body, duplex: 'half', signal } as const;
    const request = new Request(url, init);
    await expect(till.fetch(request)).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(till.wallet.asked).toEqual([]);
    await expect.poll(() => cancelled).toBe(true);
  });
});

describe('an Authorization of the caller', () => {
  test('goes out first, and gives way to the credential that is asked for', async () => {
    const till = await openTill();
    const { url, seen } = await serve({ '*': paidPage({ mint: () => till.lightning.mint() }) });
    const init = { headers: { authorization: 'Bearer mine' } };
    expect((await till.fetch(`${url}/page`, init)).status).toBe(200);
    expect((await till.fetch(`${url}/page`, init)).status).toBe(200);
    expect(seen.map(({ authorization }) => authorization?.split(' ')[0])).toEqual([
      'Bearer',
      'L402',
      'Bearer',
      'L402',
    ]);
    expect(till.wallet.payments).toHaveLength(1);
  });
});

test('a challenge whose body never ends is met by its header', async () => {
  const till = await openTill();
  const { url } = await serve({
    '/endless': (request, response) => {
      if (request.authorization !== null) {
        response.writeHead(200).end();
        return;
      }
      response.writeHead(402, {
        'www-authenticate': challengeOf(till.lightning.mint().bolt11),
      });
      const timer = setInterval(() => response.write('{"a":'.repeat(20_000)), 5);
      response.on('close', () => clearInterval(timer));
    },
  });
  expect((await till.fetch(`${url}/endless`)).status).toBe(200);
});

test('a challenge may stand in several headers, in the old scheme, beside others', async () => {
  const till = await openTill();
  const invoice = till.lightning.mint();
  const token = 'AgEEbHNhdA==';
  const forms: string[][] = [
    ['Basic realm="a, b"', `LSAT macaroon="${token}", invoice="${invoice.bolt11}"`],
    [`LSAT macaroon="x", invoice="lnbc1"`, challengeOf(invoice.bolt11, token)],
    [`lsat macaroon="x", invoice="lnbc1", l402 Macaroon=${token} , INVOICE=${invoice.bolt11}`],
    [`Negotiate abc==, L402 version="0", token="${token}", invoice="${invoice.bolt11}", extra=1`],
  ];
  for (const [index, form] of forms.entries()) {
    const { url, seen } = await serve({
      '*': (request, response) => {
        if (request.authorization !== null) {
          response.writeHead(200).end();
          return;
        }
        return wants({ 'www-authenticate': form as unknown as string })(request, response);
      },
    });
    const fetch = till.again({ wallet: till.wallet, credentials: 'memory' });
    const failure = await fetch(`${url}/page`).catch((error: unknown) => error);
    if (index === 0) {
      expect(seen[1]?.authorization).toBe(`LSAT ${token}:${invoice.preimage}`);
    } else {
      // The one invoice is paid by then: what counts is that this one was read.
      expect(failure).toMatchObject({ code: 'ALREADY_PAID', invoice: invoice.bolt11 });
    }
  }
});

test('a challenge in a JSON body is met, under each of its names', async () => {
  const till = await openTill();
  for (const name of ['invoice', 'paymentRequest', 'payment_request']) {
    const { url } = await serve({
      '*': paidPage({
        mint: () => till.lightning.mint(),
        body: ({ bolt11 }, token) => ({ macaroon: token, [name]: bolt11, priceSats: '60' }),
      }),
    });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
  }
  expect(till.wallet.payments.map(({ msat }) => msat)).toEqual([60_000, 60_000, 60_000]);
});

test('amounts below a sat agree with the whole sats stated beside them', async () => {
  const till = await openTill();
  for (const priceSats of [1, 2, 1.5]) {
    const { url } = await serve({
      '*': paidPage({
        mint: () => till.lightning.mint({ amountMsat: 1_500 }),
        body: ({ bolt11 }, token) => ({ macaroon: token, invoice: bolt11, priceSats }),
      }),
    });
    expect((await till.fetch(`${url}/page`)).status).toBe(200);
  }
  expect((await till.charges()).map(({ amounts }) => amounts['sats'])).toEqual([1.5, 1.5, 1.5]);
});
