import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';

import type { Charge } from '../../src/index.ts';
import { type Child, startChild } from '../contention/children.ts';
import { charges, makePurse, openFile, seeded, steps, tempDirectory } from '../stores/fixture.ts';

/** How long the spender's holds live at most. */
const HOLD_TTL_MS = 2000;
const SPENDER = new URL('spender.ts', import.meta.url);
const KILLS = process.env['PURSE_TEST_LONG'] === '1' ? 2000 : 200;
const SEED = 20_261_122;

/** Lets a process spend from a file and kills it in the middle, over and over. */
async function killSpenders(path: string, acknowledgements: string): Promise<void> {
  const start = (): Child =>
    startChild(SPENDER, [path, acknowledgements, String(HOLD_TTL_MS)], join(dirname(path), 'code'));
  const random = seeded(SEED);
  // The next one boots while this one spends: a start is most of what a life costs.
  let next = start();
  for (let life = 0; life < KILLS; life += 1) {
    const spender = next;
    expect(await spender.line()).toBe('ready');
    if (life + 1 < KILLS) next = start();
    spender.say(String(life));
    expect(await spender.line()).toBe('busy');
    await sleep(5 + random() * 55);
    spender.process.kill('SIGKILL');
    await spender.ended();
  }
}

/** The amount that an id tells of, in steps. */
function saidSteps(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1)) * 1e6;
}

/** True when the journal says of an id what its spender was told. */
function isAsTold(id: string, charge: Charge | undefined): boolean {
  if (/^(release|orphan_release)-/.test(id)) return charge === undefined;
  return steps(charge?.amounts['usd']) === saidSteps(id);
}

it(`keeps every acknowledged charge through ${KILLS} kills`, { timeout: 1_200_000 }, async () => {
  const directory = await tempDirectory();
  const path = join(directory, 'purse.db');
  const acknowledgements = join(directory, 'acknowledged.txt');
  await killSpenders(path, acknowledgements);
  await sleep(HOLD_TTL_MS + 50);

  const purse = await makePurse({ store: openFile(path) });
  const balances = await Array.fromAsync(purse.balances());
  const journal = await charges(purse);
  const byId = new Map<string, Charge>(journal.map((charge) => [charge.id, charge]));
  const acknowledged = (await readFile(acknowledgements, 'utf8')).trim().split('\n');
  expect(acknowledged.length).toBeGreaterThan(KILLS);

  expect(new Set(acknowledged.map((id) => id.split('-')[0])).size).toBe(6);
  const lost = acknowledged.filter((id) => !isAsTold(id, byId.get(id)));
  expect(lost).toEqual([]);
  // What was recorded and never acknowledged is recorded whole, too.
  const halves = journal.filter(
    ({ id, amounts }) =>
      /^(charge|settle|rename|orphan_charge)-/.test(id) && steps(amounts['usd']) !== saidSteps(id),
  );
  expect(halves).toEqual([]);
  expect(byId.size).toBe(journal.length);

  const lives = balances.filter(({ limit }) => limit === 'life');
  expect(lives.filter(({ spent, cap }) => spent > cap)).toEqual([]);
  expect(lives.some(({ available }) => available < 0.4)).toBe(true);
  const all = balances.find(({ limit }) => limit === 'all');
  expect([all?.held, ...lives.map(({ held }) => held)].filter((held) => held !== 0)).toEqual([]);
  expect(steps(all?.spent)).toBe(
    journal.reduce((sum, { amounts }) => sum + steps(amounts['usd']), 0),
  );
  expect(await purse.verify()).toMatchObject({ ok: true, charges: journal.length });
});
