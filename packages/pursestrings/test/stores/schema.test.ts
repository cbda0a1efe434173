import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';

import { openPurse, StoreError } from '../../src/index.ts';
import { balanceOf, makePurse, openFile, tempFile } from './fixture.ts';

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

describe('the schema', () => {
  it('is made at the first use, with its version', async () => {
    const path = await tempFile();
    await makePurse({ store: openFile(path), limits: LIMITS });
    const row = inspect(path, (database) =>
      database.prepare('SELECT count(*) AS n, max(version) AS version FROM purse_schema').get(),
    );
    expect(row).toEqual({ n: 1, version: 2 });
  });

  it('is refused when it is newer, and nothing is changed', async () => {
    const path = await tempFile();
    const store = openFile(path);
    await openPurse({ store, limits: LIMITS });
    await store.close();
    inspect(path, (database) => database.exec('UPDATE purse_schema SET version = 99'));
    const error = await openPurse({ store: openFile(path) }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ failure: 'newer_schema' });
    expect((error as Error).message).toContain('99');
    const versions = inspect(path, (database) =>
      database.prepare('SELECT version FROM purse_schema').all(),
    );
    expect(versions).toEqual([{ version: 99 }]);
  });

  it('says that a file is corrupt whose tables are gone', async () => {
    const path = await tempFile();
    const store = openFile(path);
    await openPurse({ store, limits: LIMITS });
    await store.close();
    inspect(path, (database) => database.exec('DROP TABLE purse_journal'));
    const purse = openPurse({ store: openFile(path) }).then((opened) => opened.charge({ usd: 1 }));
    await expect(purse).rejects.toMatchObject({ code: 'STORE_CORRUPT', failure: 'corrupt' });
  });

  it('leaves other tables in the file alone', async () => {
    const path = await tempFile();
    inspect(path, (database) => {
      database.exec('CREATE TABLE notes (text TEXT); CREATE TABLE holds (id TEXT)');
      database.exec("INSERT INTO notes VALUES ('mine'); INSERT INTO holds VALUES ('mine, too')");
    });
    const store = openFile(path);
    const purse = await makePurse({ store, limits: LIMITS });
    const hold = await purse.reserve({ usd: 1 });
    await hold.settle();
    await store.close();
    const rows = inspect(path, (database) =>
      database.prepare('SELECT text FROM notes UNION ALL SELECT id FROM holds').all(),
    );
    expect(rows).toEqual([{ text: 'mine' }, { text: 'mine, too' }]);
    const foreign = inspect(path, (database) =>
      database
        .prepare(
          "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'purse_%' AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )
        .all(),
    );
    expect(foreign).toEqual([{ name: 'holds' }, { name: 'notes' }]);
  });

  it('goes on with a ledger that another program has vacuumed', async () => {
    const path = await tempFile();
    const store = openFile(path);
    const purse = await makePurse({ store, limits: LIMITS });
    const hold = await purse.reserve({ usd: 2 });
    inspect(path, (database) => database.exec('VACUUM'));
    await hold.settle({ usd: 1 });
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 0, available: 9 });
    expect((await purse.verify()).ok).toBe(true);
  });
});
