import { expect, test } from 'vitest';

import { quotePayment } from '../../src/paid-http/quote-payment.ts';
import { openTill } from './fixture.ts';
import { paidPage, serve, wants, challengeOf } from './paywall.ts';

test('says what a page would cost, and pays, holds and writes nothing', async () => {
  const { purse, lightning, wallet, charges, heldSats } = await openTill({ feeMsat: 500 });
  const page = paidPage({ mint: () => lightning.mint({ amountMsat: 60_500 }) });
  const { url } = await serve({ '/page': page });
  const quote = await quotePayment(purse, { wallet }, `${url}/page?q=1`);
  const [minted] = page.challenges;
  expect(quote).toMatchObject({
    status: 402,
    payment: {
      resource: `${url}/page`,
      domain: '127.0.0.1',
      amountSats: 60.5,
      feeLimitSats: 3,
      invoice: minted?.bolt11,
      payee: minted?.payee,
      refusal: null,
      denials: [],
    },
  });
  expect(wallet.asked).toEqual([]);
  expect(await charges()).toEqual([]);
  expect(await heldSats()).toBe(0);
});

test('names the limit that has not enough left', async () => {
  const { purse, lightning, wallet } = await openTill({ capSats: 59 });
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  const { payment } = await quotePayment(purse, { wallet }, url);
  expect(payment?.denials).toMatchObject([{ limit: 'all', requested: 60, available: 59 }]);
});

test('says why a price is refused whatever is left', async () => {
  const { purse, lightning, wallet } = await openTill();
  const { url } = await serve({ '*': paidPage({ mint: () => lightning.mint() }) });
  const { payment } = await quotePayment(purse, { wallet, maxPerPayment: 10 }, url);
  expect(payment?.refusal).toMatchObject({ code: 'OVER_MAX_PER_PAYMENT' });
});

test('asks nothing for what is free, and for what is paid for already', async () => {
  const { purse, lightning, wallet, fetch } = await openTill();
  const { url } = await serve({
    '/free': (_, response) => void response.writeHead(204).end(),
    '/paid': paidPage({ mint: () => lightning.mint() }),
    '/other': wants({ 'www-authenticate': 'Basic realm="x"' }),
  });
  await fetch(`${url}/paid`);
  const quotes = ['/free', '/paid', '/other'].map((path) =>
    quotePayment(purse, { wallet }, `${url}${path}`),
  );
  expect(await Promise.all(quotes)).toEqual([
    { status: 204, paidBefore: false, payment: null },
    { status: 402, paidBefore: true, payment: null },
    { status: 402, paidBefore: false, payment: null },
  ]);
});

test('throws for an invoice that can be paid at no price', async () => {
  const { purse, lightning, wallet } = await openTill();
  const { bolt11 } = lightning.mint({ amountMsat: null });
  const { url } = await serve({ '*': wants({ 'www-authenticate': challengeOf(bolt11) }) });
  const quote = quotePayment(purse, { wallet }, url);
  await expect(quote).rejects.toMatchObject({ code: 'INVOICE_AMOUNTLESS' });
});
