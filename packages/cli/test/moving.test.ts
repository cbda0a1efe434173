import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPurse } from 'pursestrings';
import { describe, expect, test } from 'vitest';
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

test.each(['export', 'import'])('purse %s --help teaches by examples', async (command) => {
  const { status, stdout } = await purseHere([command, '--help']);
  expect([status, stdout.includes(`$ purse ${command} `)]).toEqual([0, true]);
});
