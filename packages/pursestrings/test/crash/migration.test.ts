import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';

import { startChild } from '../contention/children.ts';
import { makePurse, openFile, seeded, tempFile } from '../stores/fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];

/** How many of the ledger's tables stand in a file. */
function tablesIn(path: string): number {
  const database = new DatabaseSync(path, { timeout: 1000 });
  try {
    const row = database
      .prepare(
        "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table' AND name LIKE 'purse_%'",
      )
      .get();
    return Number(row?.['n']);
  } finally {
    database.close();
  }
}

it('leaves no half of a schema when a process is killed before it commits', async () => {
  const path = await tempFile();
  const child = startChild(new URL('migrator.ts', import.meta.url), [path]);
  expect(await child.line()).toBe('migrated');
  child.process.kill('SIGKILL');
  await child.ended();
  expect(tablesIn(path)).toBe(0);
  const purse = await makePurse({ store: openFile(path), limits: LIMITS });
  await purse.charge({ usd: 1 });
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
});

it('leaves none of it or all of it whenever a process is killed while it opens a file', async () => {
  const random = seeded(11);
  for (let round = 0; round < 8; round += 1) {
    const path = await tempFile();
    const child = startChild(new URL('../contention/worker.ts', import.meta.url), [path, 'open']);
    await child.line();
    child.say('go');
    await sleep(random() * 30);
    child.process.kill('SIGKILL');
    await child.ended();
    expect([0, 9]).toContain(tablesIn(path));
    const purse = await makePurse({ store: openFile(path), limits: LIMITS });
    await purse.charge({ usd: 1 });
    expect((await purse.verify()).ok).toBe(true);
  }
});
