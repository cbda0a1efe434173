import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startChild } from '../contention/children.ts';
import { charges, makePurse, openFile, tempDirectory } from '../stores/fixture.ts';
import type { MintedInvoice } from './invoices.ts';
import { Lightning } from './lightning.ts';
import { paidPage, serve } from './paywall.ts';

const SPENDER = new URL('spender.ts', import.meta.url);

/** A shop, and the node that is paid: who pays an invoice there gets its preimage, once. */
async function openWorld() {
  const lightning = new Lightning();
  const directory = await tempDirectory();
  const page = paidPage({ mint: () => lightning.mint() });
  const paid: MintedInvoice[] = [];
  const server = await serve({
    '/page': page,
    '/pay': ({ body }, response) => {
      const invoice = page.challenges.find(({ bolt11 }) => bolt11 === body);
      if (invoice === undefined || paid.includes(invoice)) {
        response.writeHead(409).end();
        return;
      }
      paid.push(invoice);
      response.writeHead(200).end(JSON.stringify(invoice));
    },
  });
  const files = [join(directory, 'purse.db'), join(directory, 'wallet.txt')] as const;
  const spend = (hangs: string) =>
    startChild(SPENDER, [...files, `${server.url}/page`, hangs], join(directory, 'code'));
  return { ...server, page, paid, files, spend };
}

for (const moment of ['after paying', 'after settling']) {
  test(`killed ${moment}: found again, settled once, and its credential opens the page`, async () => {
    const world = await openWorld();
    const doomed = world.spend(moment);
    expect(await doomed.line()).toBe('ready');
    expect(await doomed.line()).toBe(moment);
    doomed.process.kill('SIGKILL');
    await doomed.ended();

    const next = world.spend('never');
    expect(await next.line()).toBe('ready');
    const answer = await next.line();
    await next.ended();

    const purse = await makePurse({ store: openFile(world.files[0]) });
    const [invoice] = world.page.challenges;
    expect(answer).toBe('200 the goods');
    expect(world.paid).toEqual([invoice]);
    expect(world.seen.at(-1)?.authorization).toContain(`:${invoice?.preimage}`);
    const rows = await charges(purse);
    expect(rows.map(({ amounts }) => amounts['sats'])).toEqual([61.25]);
    expect(JSON.parse(rows[0]?.description ?? '')).toMatchObject({
      paymentHash: invoice?.paymentHash,
      preimage: invoice?.preimage,
      amountMsat: 60_000,
      feeMsat: 1_250,
    });
    expect(await Array.fromAsync(purse.holds())).toEqual([]);
    expect((await purse.verify()).ok).toBe(true);
  });
}

test('killed before paying: the money stays held, and nothing is paid until it is known', async () => {
  const world = await openWorld();
  const doomed = world.spend('before paying');
  expect(await doomed.line()).toBe('ready');
  expect(await doomed.line()).toBe('before paying');
  doomed.process.kill('SIGKILL');
  await doomed.ended();
  const purse = await makePurse({ store: openFile(world.files[0]) });
  const [hold] = await Array.fromAsync(purse.holds());
  expect(hold?.amounts).toEqual({ sats: 63 });
  expect(hold?.description).not.toContain('preimage');
  expect(world.paid).toEqual([]);
});
