import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { MAX_NOTES } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { balanceOf, KINDS, makePurse, makeStore, openFile, tempFile } from './fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];

/** Looks into a file as any other program would. */
function inspect<T>(path: string, look: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path);
  try {
    return look(database);
  } finally {
    database.close();
  }
}

/** How many notes a file has, and how many it says it has. */
function counted(path: string): readonly unknown[] {
  return inspect(path, (database) =>
    database
      .prepare(
        `SELECT ledger, (SELECT count(*) FROM purse_notes n WHERE n.ledger = c.ledger) AS there, notes
         FROM purse_note_counts c ORDER BY ledger`,
      )
      .all()
      .map((row) => Object.values(row)),
  );
}

/** Fills the first ledger of a file up with notes `n1`, `n2` and so on, that expire in this order. */
function fill(path: string, count: number, firstMs: number): void {
  inspect(path, (database) =>
    database.exec(`
      WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ${count})
      INSERT INTO purse_notes (ledger, key, expires_at, content)
        SELECT 1, 'n' || n, ${firstMs} + n, 'text' FROM i;
      INSERT INTO purse_note_counts VALUES (1, ${count})
        ON CONFLICT DO UPDATE SET notes = notes + ${count}`),
  );
}

it.each(KINDS)('notes in %s are neither read nor written once it is closed', async (kind) => {
  const store = await makeStore(kind);
  await store.writeNote('k', 'text', Date.now() + 60_000);
  await store.close();
  await expect(store.readNote('k')).rejects.toMatchObject({ failure: 'closed' });
  await expect(store.writeNote('k', 'text', 1)).rejects.toMatchObject({ failure: 'closed' });
});

it('of too many notes in memory, those that expire first go', async () => {
  const clock = manualClock();
  const store = await makeStore('memory', { clock });
  const now = clock.now();
  for (let index = 1; index <= MAX_NOTES; index += 1) {
    await store.writeNote(`n${index}`, 'text', now + index);
  }
  await store.writeNote('n1', 'again', now + MAX_NOTES);
  expect(await store.readNote('n2')).toBe('text');
  await store.writeNote('one more', 'text', now + MAX_NOTES);
  expect(await store.readNote('n2')).toBeNull();
  const standing = ['n1', 'n3', 'one more'].map((key) => store.readNote(key));
  expect(await Promise.all(standing)).toEqual(['again', 'text', 'text']);
  await store.forLedger('other').writeNote('n', 'text', now + MAX_NOTES);
  expect(await store.readNote('n3')).toBe('text');
  await store.writeNote('soonest', 'text', now + 1);
  expect(await store.readNote('soonest')).toBeNull();
});

it('of too many notes in a file, those that expire first go', async () => {
  const clock = manualClock();
  const path = await tempFile();
  const store = openFile(path, { clock });
  const now = clock.now();
  await store.writeNote('first', 'text', now + 1);
  fill(path, MAX_NOTES - 1, now + 1);
  await store.writeNote('first', 'again', now + MAX_NOTES + 5);
  expect(counted(path)).toEqual([[1, MAX_NOTES, MAX_NOTES]]);
  await store.writeNote('one more', 'text', now + MAX_NOTES + 5);
  expect(counted(path)).toEqual([[1, MAX_NOTES, MAX_NOTES]]);
  expect(await store.readNote('n1')).toBeNull();
  const standing = ['first', 'n2', 'one more'].map((key) => store.readNote(key));
  expect(await Promise.all(standing)).toEqual(['again', 'text', 'text']);
  await store.forLedger('other').writeNote('n', 'text', now + MAX_NOTES);
  expect(counted(path)).toEqual([
    [1, MAX_NOTES, MAX_NOTES],
    [2, 1, 1],
  ]);
  clock.advance(1000);
  await store.writeNote('first', null, 0);
  expect(counted(path)[0]).toEqual([1, MAX_NOTES - 65, MAX_NOTES - 65]);
});

it('notes of a file are shared by its connections, and counted by all of them', async () => {
  const path = await tempFile();
  const stores = [openFile(path), openFile(path)] as const;
  const later = Date.now() + 60_000;
  const purse = await makePurse({ store: stores[0], limits: LIMITS });
  await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      await stores[index % 2]?.writeNote(`k${index % 40}`, `v${index}`, later);
      await purse.charge({ usd: 0.01 });
    }),
  );
  expect(await stores[1].readNote('k5')).toBe('v45');
  expect(await stores[0].readNote('k39')).toBe('v39');
  expect(counted(path)).toEqual([[1, 40, 40]]);
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 60 });
});

it('a file of the first schema version gets its notes, and keeps what it has', async () => {
  const path = await tempFile();
  const old = openFile(path);
  const before = await openPurse({ store: old, limits: LIMITS });
  await before.reserve({ usd: 2 }, {}, { id: 'h' });
  await before.charge({ usd: 1 });
  await old.close();
  inspect(path, (database) =>
    database.exec(`DROP TABLE purse_notes; DROP TABLE purse_note_counts;
      UPDATE purse_schema SET version = 1`),
  );
  const purse = await makePurse({ store: openFile(path) });
  await purse.writeNote('k', 'text', { ttlMs: 60_000 });
  expect(await purse.readNote('k')).toBe('text');
  expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 2, available: 7 });
  expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
});
