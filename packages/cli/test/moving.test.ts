import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPurse } from 'pursestrings';
import { afterAll, describe, expect, test } from 'vitest';
import { postgresUrl } from '../../pursestrings/test/servers/postgres-server.ts';
import { sharedRedis } from '../../pursestrings/test/servers/redis-server.ts';
import { purse, purseHere, purseJson, purseJsonHere, temporaryDirectory } from './purse-process.ts';

const BIN = fileURLToPath(new URL('../bin/purse.js', import.meta.url));

interface Places {
  readonly from: string;
  readonly to: string;
  readonly file: string;
}

/** A ledger with some charges in one file, and a place for a copy. */
async function places(charges = 50): Promise<Places> {
  const directory = temporaryDirectory();
  const from = `sqlite:${join(directory, 'from.db')}`;
  const ledger = await openPurse({
    store: from,
    limits: [
      { name: 'all', cap: { usd: 10 } },
      { name: 'agent', cap: { usd: 5 }, each: ['agent'] },
    ],
  });
  const spends = Array.from({ length: charges }, (_, n) =>
    ledger.charge({ usd: 0.01 }, { agent: `a${n % 5}` }, { description: 'x'.repeat(n % 300) }),
  );
  await Promise.all(spends);
  await ledger.close();
  return { from, to: `sqlite:${join(directory, 'to.db')}`, file: join(directory, 'out.jsonl') };
}

async function viewOf(store: string, ledger = 'default'): Promise<unknown> {
  const at = ['--store', store, '--ledger', ledger];
  const { balances } = await purseJsonHere<{ balances: readonly object[] }>(['balances', ...at]);
  const report = await purseJsonHere<{ rows: unknown }>(['report', ...at, '--by', 'agent']);
  const verified = await purseJsonHere<{ ok: boolean; charges: number }>(['verify', ...at]);
  const { limits } = await purseJsonHere<{ limits: unknown }>(['limits', ...at]);
  return { balances, rows: report.rows, verified, limits };
}

describe('purse export and purse import', () => {
  test('thaw a ledger whose export nobody reads to its end', async () => {
    const { from } = await places();
    const child = spawn(process.execPath, [BIN, 'export', '--store', from]);
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (data: Buffer) => (said += data.toString()));
    expect(await once(child, 'close')).toEqual([2, null]);
    expect(said).toMatch(/^purse: Whoever reads the export left before its end/);
    const old = await openPurse({ store: from });
    await (await old.reserve({ usd: 1 })).release();
    await old.close();
  });

  test('carry a ledger from one file to another, exactly', async () => {
    const { from, to, file } = await places();
    const before = await viewOf(from);
    const out = await purseJsonHere(['export', '--store', from, '--output', file]);
    expect(out).toMatchObject({ ledger: 'default', output: file, charges: 50, envelopes: 6 });
    const into = ['import', file, '--store', to, '--ledger', 'moved'];
    const done = await purseJsonHere(into);
    expect(done).toMatchObject({ ledger: 'moved', charges: 50, envelopes: 6 });
    expect(await viewOf(to, 'moved')).toEqual(before);
    // The old one is frozen, the new one is not, and it is made only once.
    const old = await openPurse({ store: from });
    expect(await old.tryReserve({ usd: 1 })).toMatchObject({ denial: { reason: 'frozen' } });
    await old.close();
    const copy = await openPurse({ store: to, ledger: 'moved' });
    expect((await copy.tryReserve({ usd: 1 })).ok).toBe(true);
    await copy.close();
    const again = await purseHere(into);
    expect(again).toMatchObject({ status: 2, stderr: expect.stringContaining('was used before') });
  });

  test('go through a pipe, and only the lines do', async () => {
    const { from, to } = await places(3000);
    const before = await viewOf(from);
    const ended = await new Promise<string>((resolve, reject) => {
      const command = `"$NODE" "$BIN" export -s "$FROM" | "$NODE" "$BIN" import - -s "$TO" --json`;
      const env = { ...process.env, NODE: process.execPath, BIN, FROM: from, TO: to };
      execFile('sh', ['-c', command], { env }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(stderr, { cause: error })),
      );
    });
    expect(JSON.parse(ended)).toMatchObject({ charges: 3000 });
    expect(await viewOf(to)).toEqual(before);
    const { stdout, stderr } = await purse(['export', '--store', from]);
    const lines = stdout.trimEnd().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ kind: 'ledger', version: 1 });
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ kind: 'end', charges: 3000 });
    expect(stderr).toContain('3,000 charges');
  });

  test('refuse open holds with status 1, and change nothing', async () => {
    const { from, file } = await places();
    const ledger = await openPurse({ store: from });
    const hold = await ledger.reserve({ usd: 1 }, {}, { id: 'still-open' });
    const refused = await purseHere(['export', '--store', from, '--output', file]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('"still-open"') });
    expect(existsSync(file)).toBe(false);
    expect(await ledger.freezes()).toEqual([]);
    await hold.release();
    await ledger.close();
    expect(await purseJson(['export', '-s', from, '-o', file])).toMatchObject({ charges: 50 });
  });

  test('refuse a file that is not whole, and go on with one that is', async () => {
    const { from, to, file } = await places();
    await purseJsonHere(['export', '--store', from, '--output', file]);
    const text = readFileSync(file, 'utf8');
    const half = `${file}.half`;
    writeFileSync(half, text.slice(0, text.length / 2));
    const broken = await purseHere(['import', half, '--store', to]);
    expect(broken).toMatchObject({ status: 2, stderr: expect.stringMatching(/^purse: Line \d+/) });
    expect(await purseJsonHere(['import', file, '--store', to])).toMatchObject({ charges: 50 });
  });

  test('say what cannot be read or written', async () => {
    const { from, to, file } = await places();
    writeFileSync(file, 'mine');
    const there = await purseHere(['export', '--store', from, '--output', file]);
    expect(there).toMatchObject({ status: 2, stderr: expect.stringContaining('there already') });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    const none = await purseHere(['import', `${file}.none`, '--store', to]);
    expect(none).toMatchObject({ status: 2, stderr: expect.stringContaining('no such file') });
    const nowhere = await purseHere(['export', '--store', to]);
    expect(nowhere).toMatchObject({ status: 2, stderr: expect.stringContaining('no such file') });
    const odd = await purseHere(['import', file, '--store', 'mysql://user:secret@host/x']);
    expect(odd).toMatchObject({ status: 2, stderr: expect.stringContaining('names no store') });
    expect(odd.stderr).not.toContain('secret');
  });
});

describe('between every two kinds of store', async () => {
  const [redis, postgres] = [await sharedRedis(), await postgresUrl()];
  afterAll(async () => {
    await Promise.all([redis.stop(), postgres.stop()]);
  });

  /** Each kind's URL, and a name for a ledger that nobody has used. */
  function stores(): { readonly urls: Readonly<Record<string, string>>; next(): string } {
    const directory = temporaryDirectory();
    const run = randomBytes(6).toString('hex');
    let ledgers = 0;
    return {
      urls: {
        sqlite: `sqlite:${join(directory, 'purse.db')}`,
        redis: redis.url,
        postgres: postgres.url,
      },
      next: () => `moved-${run}-${(ledgers += 1)}`,
    };
  }

  /** A ledger with something of every kind in it. */
  async function variedLedger(store: string, ledger: string): Promise<void> {
    const units = { minutes: { decimals: 3 } };
    const limits = [
      { name: 'all', cap: { usd: 10, minutes: 100 } },
      { name: 'month', cap: { usd: 9 }, per: 'month', each: ['agent'], warnAt: [0.01] },
      { name: 'soft', cap: { usd: '0.00000001' }, mode: 'soft' },
    ] as const;
    const ledgerPurse = await openPurse({ store, ledger, units, limits });
    for (const agent of ['a|b', '"', '\u2028', '😀', '']) {
      await ledgerPurse.charge({ usd: '0.12345678', minutes: 0.001 }, { agent });
      const hold = await ledgerPurse.reserve({ usd: 1 }, { agent }, { id: `hold ${agent}` });
      await (agent === '"' ? hold.release() : hold.settle({ usd: 0.5 }, { labels: { by: 'x' } }));
    }
    await ledgerPurse.freeze({ agent: 'bad' }, 'theirs');
    await ledgerPurse.close();
  }

  test('a ledger stays the same, to the last step', async () => {
    const { urls, next } = stores();
    const file = (ledger: string): string => join(temporaryDirectory(), `${ledger}.jsonl`);
    // So that each kind goes to each, itself among them.
    const route = 'sqlite sqlite redis redis postgres postgres sqlite postgres redis sqlite';
    const kinds = route.split(' ');
    let from = { store: urls[kinds[0] ?? ''] ?? '', ledger: next() };
    await variedLedger(from.store, from.ledger);
    const first = await viewOf(from.store, from.ledger);
    expect(first).toMatchObject({ verified: { ok: true, charges: 9 } });
    for (const kind of kinds.slice(1)) {
      const to = { store: urls[kind] ?? '', ledger: next() };
      const path = file(to.ledger);
      await purseJsonHere(['export', '-s', from.store, '--ledger', from.ledger, '-o', path]);
      await purseJsonHere(['import', path, '-s', to.store, '--ledger', to.ledger]);
      expect(await viewOf(to.store, to.ledger), `to ${kind}`).toEqual(first);
      const old = ['verify', '-s', from.store, '--ledger', from.ledger];
      expect(await purseJsonHere(old)).toMatchObject({ ok: true, charges: 9 });
      from = to;
    }
    // Ids are still known, and the freeze has come along.
    const last = await openPurse({ store: from.store, ledger: from.ledger });
    expect(await last.freezes()).toEqual([{ where: { agent: 'bad' }, reason: 'theirs' }]);
    await expect(last.reserve({ usd: 2 }, {}, { id: 'hold 😀' })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await last.close();
  });

  test.each(['sqlite', 'redis', 'postgres'])(
    'a file that is damaged, or a ledger in use, changes nothing on %s',
    async (kind) => {
      const { urls, next } = stores();
      const [store, ledger, source] = [urls[kind] ?? '', next(), next()];
      await variedLedger(store, source);
      const good = join(temporaryDirectory(), 'good.jsonl');
      await purseJsonHere(['export', '-s', store, '--ledger', source, '-o', good]);
      const text = readFileSync(good, 'utf8');
      const damaged = {
        cut: text.slice(0, text.length - 200),
        turned: text.replace('"spent":1', '"spent":2'),
        shorter: text.split('\n').toSpliced(3, 1).join('\n'),
        empty: '',
      };
      for (const [name, content] of Object.entries(damaged)) {
        const bad = join(temporaryDirectory(), `${name}.jsonl`);
        writeFileSync(bad, content);
        const refused = await purseHere(['import', bad, '-s', store, '--ledger', ledger]);
        expect([name, refused.status]).toEqual([name, 2]);
        const after = await openPurse({ store, ledger });
        expect([await after.freezes(), await after.limits()]).toEqual([[], []]);
        expect(await after.verify()).toMatchObject({ ok: true, envelopes: 0, charges: 0 });
        await after.close();
      }
      const into = ['import', good, '-s', store, '--ledger', ledger];
      expect(await purseJsonHere(into)).toMatchObject({ charges: 9 });
      const before = await viewOf(store, ledger);
      expect((await purseHere(into)).status).not.toBe(0);
      expect(await viewOf(store, ledger)).toEqual(before);
      const open = await openPurse({ store, ledger });
      const hold = await open.reserve({ usd: 1 }, {}, { id: 'still-open' });
      const exporting = await purseHere(['export', '-s', store, '--ledger', ledger]);
      expect([exporting.status, exporting.stdout]).toEqual([1, '']);
      expect(exporting.stderr).toContain('"still-open"');
      await hold.release();
      await open.close();
    },
  );
});

test.each(['export', 'import'])('purse %s --help teaches by examples', async (command) => {
  const { status, stdout } = await purseHere([command, '--help']);
  expect([status, stdout.includes(`$ purse ${command} `)]).toEqual([0, true]);
});
