/** Agents buy weather over Lightning, in parallel, under one cap in sats; the ledger equals the bill. */
import assert from 'node:assert/strict';
import { openPurse } from 'pursestrings';
import { BudgetExceededError, LnbitsWallet, paidFetch } from 'pursestrings/l402';
import { loopbackPaywall } from 'pursestrings/testing';

const CAP_SATS = 200;

const paywall = await loopbackPaywall({ priceMsat: 9_500, feeMsat: 120 });
const purse = await openPurse({
  limits: [
    { name: 'all', cap: { sats: CAP_SATS }, per: 'day' },
    { name: 'agent', cap: { sats: 80 }, per: 'day', each: ['agent'] },
  ],
});
const wallet = new LnbitsWallet({ url: paywall.walletUrl, apiKey: paywall.walletKey });

async function buy(agent: string, city: string): Promise<'read' | 'refused'> {
  const fetchPaid = paidFetch(purse, { wallet, labels: { agent } });
  try {
    const answer = await fetchPaid(`${paywall.url}/weather/${agent}/${city}`);
    assert.equal(answer.status, 200);
    return 'read';
  } catch (error) {
    if (error instanceof BudgetExceededError) return 'refused';
    throw error;
  }
}

const agents = ['a1', 'a2', 'a3', 'a4'];
const cities = Array.from({ length: 15 }, (_, index) => `city-${index}`);
const ends = await Promise.all(agents.flatMap((agent) => cities.map((city) => buy(agent, city))));

const { total } = await purse.report();
const { payments, amountMsat, feeMsat } = paywall.bill;
assert.equal(total['sats'], (amountMsat + feeMsat) / 1_000);
assert.equal(ends.filter((end) => end === 'read').length, payments);
assert.ok(ends.includes('refused'));
assert.ok((await purse.verify()).ok);
console.log(`${payments} pages for ${total['sats']} of ${CAP_SATS} sats`);
await purse.close();
await paywall.close();
