import { describe, expect, it } from 'vitest';

import { openPurse } from '../../src/index.ts';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { MAX_NOTES } from '../../src/stores/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { balanceOf } from './fixture.ts';
import {
  ask,
  CLIENTS,
  freshRole,
  makeClient,
  makePool,
  migratedSchema,
  url,
} from './postgres-fixture.ts';

const LIMITS = [{ name: 'all', cap: { usd: 10 } }];

/** How many notes a schema has, and how many it says it has. */
async function counted(schema: string): Promise<readonly unknown[]> {
  const rows = await ask(
    `SELECT (SELECT count(*)::int FROM ${schema}.notes n WHERE n.ledger = c.ledger) AS there, notes
     FROM ${schema}.note_counts c ORDER BY ledger`,
  );
  return rows.map((row) => Object.values(row));
}

it('of too many notes those that expire first go', async () => {
  const schema = await migratedSchema();
  const clock = manualClock();
  const store = postgres(makePool(), { schema, clock, synchronousCommit: 'off' });
  const now = clock.now();
  await store.writeNote('first', 'text', now + 1);
  await ask(`
    INSERT INTO ${schema}.notes (ledger, expires_at, key, content)
      SELECT l.id, ${now + 1} + n, 'n' || n, 'text' FROM ${schema}.ledgers l, generate_series(1, ${MAX_NOTES - 1}) n;
    UPDATE ${schema}.note_counts SET notes = ${MAX_NOTES}`);
  await store.writeNote('first', 'again', now + MAX_NOTES + 5);
  expect(await counted(schema)).toEqual([[MAX_NOTES, MAX_NOTES]]);
  await store.writeNote('one more', 'text', now + MAX_NOTES + 5);
  expect(await counted(schema)).toEqual([[MAX_NOTES, MAX_NOTES]]);
  const keys = ['n1', 'first', 'n2', 'one more'];
  const standing = await Promise.all(keys.map((key) => store.readNote(key)));
  expect(standing).toEqual([null, 'again', 'text', 'text']);
  clock.advance(1000);
  await store.writeNote('first', null, 0);
  expect(await counted(schema)).toEqual([[MAX_NOTES - 65, MAX_NOTES - 65]]);
});

it('notes that are written by many at once are counted right, and none waits for itself', async () => {
  const schema = await migratedSchema();
  const stores = CLIENTS.map((kind) => postgres(makeClient(kind), { schema }));
  const later = Date.now() + 60_000;
  await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      stores[index % 2]?.writeNote(`k${index % 50}`, index % 3 === 0 ? null : 'text', later),
    ),
  );
  const [there, said] = (await counted(schema))[0] as [number, number];
  expect(said).toBe(there);
});

describe.each(CLIENTS)('by %s', (kind) => {
  it('a schema of the first version is named on a client of the caller, and migrated by call', async () => {
    const schema = await migratedSchema();
    const before = await openPurse({ store: postgres(makePool(), { schema }), limits: LIMITS });
    await before.charge({ usd: 1 });
    await before.reserve({ usd: 2 });
    await ask(`
      DROP FUNCTION ${schema}.read_note, ${schema}.write_note, ${schema}.forget_notes;
      DROP TABLE ${schema}.notes, ${schema}.note_counts;
      UPDATE ${schema}.version SET version = 1`);
    const unmigrated = { failure: 'misconfigured', message: expect.stringContaining('migrate()') };
    await expect(before.readNote('k')).rejects.toMatchObject(unmigrated);
    const client = makeClient(kind);
    await expect(openPurse({ store: postgres(client, { schema }) })).rejects.toMatchObject({
      failure: 'misconfigured',
      message: expect.stringMatching(
        /has version 1 .* needs version 2: call migrate\(\)/,
      ) as string,
    });
    await migrate(client, { schema });
    const purse = await openPurse({ store: postgres(client, { schema }) });
    await purse.writeNote('k', 'text', { ttlMs: 60_000 });
    expect(await before.readNote('k')).toBe('text');
    expect(await balanceOf(purse, 'all')).toEqual({ spent: 1, held: 2, available: 7 });
    expect(await purse.verify()).toMatchObject({ ok: true, charges: 1 });
  });

  it('a role that may only spend keeps notes, and sees none but by their keys', async () => {
    const schema = await migratedSchema();
    await openPurse({ store: postgres(makePool(), { schema }), limits: LIMITS });
    const { role, roleUrl } = await freshRole();
    await migrate(url, { schema, spender: role });
    const purse = await openPurse({ store: postgres(makeClient(kind, roleUrl), { schema }) });
    await purse.writeNote('k', 'text', { ttlMs: 60_000 });
    expect(await purse.readNote('k')).toBe('text');
    const client = makePool(roleUrl);
    for (const statement of [
      'SELECT * FROM $.notes',
      'SELECT $.forget_notes(1, 9999999999999, 9)',
    ]) {
      const query = client.query(statement.replace('$', schema));
      await expect(query).rejects.toMatchObject({ code: '42501' });
    }
  });
});
