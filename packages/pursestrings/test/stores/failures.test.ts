import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';

import { openPurse, type Purse, StoreError } from '../../src/index.ts';
import { startChild } from '../contention/children.ts';
import {
  balanceOf,
  balancesText,
  charges,
  makePurse,
  openFile,
  seeded,
  tempDirectory,
  tempFile,
} from './fixture.ts';
import type { Read } from './reader.ts';

const LIMITS = [
  { name: 'all', cap: { usd: 1e6 } },
  { name: 'agent', cap: { usd: 1e6 }, each: ['agent'] },
];

/** The failure that a StoreError tells of; any other error is handed on. */
async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    expect(error.message).toMatch(/\.db|purse\./);
    return error.failure;
  }
}

/** A file with some charges and one open hold in it, closed. */
async function filledFile(count: number): Promise<string> {
  const path = await tempFile();
  const store = openFile(path);
  const purse = await openPurse({ store, limits: LIMITS });
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      purse.charge({ usd: 0.01 }, { agent: `a${index % 20}`, task: 'x'.repeat(index % 200) }),
    ),
  );
  await purse.reserve({ usd: 5 }, { agent: 'a0' }, { ttlMs: 86_400_000 });
  await purse.close();
  await store.close();
  return path;
}

describe('a file that is no ledger', () => {
  it('says so of garbage, and leaves it alone', async () => {
    const path = await tempFile();
    const garbage = 'these are my notes, not a database\n'.repeat(100);
    await writeFile(path, garbage);
    expect(await failureOf(openPurse({ store: openFile(path) }))).toBe('corrupt');
    expect(await readFile(path, 'utf8')).toBe(garbage);
  });

  it('says so of a directory, a missing directory and a closed store', async () => {
    const directory = await tempDirectory();
    await mkdir(join(directory, 'a.db'));
    expect(await failureOf(openPurse({ store: openFile(join(directory, 'a.db')) }))).toBe(
      'unreachable',
    );
    const nowhere = join(directory, 'missing', 'purse.db');
    expect(await failureOf(openPurse({ store: openFile(nowhere) }))).toBe('unreachable');
    const store = openFile(join(directory, 'b.db'));
    const purse = await makePurse({ store, limits: LIMITS });
    await store.close();
    expect(await failureOf(purse.charge({ usd: 1 }))).toBe('closed');
    expect(await purse.health()).toMatchObject({ ok: false });
  });

  it('lets a store be closed that was never used, and makes no file', async () => {
    const path = await tempFile();
    await openFile(path).close();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });
});

describe('a damaged file', () => {
  it('is told by its header, and heals when it is restored', async () => {
    const path = await filledFile(50);
    await copyFile(path, `${path}.backup`);
    const bytes = await readFile(path);
    bytes.fill(0x5a, 0, 100);
    await writeFile(path, bytes);
    expect(await failureOf(openPurse({ store: openFile(path) }))).toBe('corrupt');

    await copyFile(`${path}.backup`, path);
    const purse = await makePurse({ store: openFile(path) });
    expect(await balanceOf(purse, 'all')).toMatchObject({ spent: 0.5, held: 5 });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('never does worse than to say so, wherever its bytes are flipped', async () => {
    const path = await filledFile(400);
    const whole = await readFile(path);
    const random = seeded(3);
    const seen = new Map<string, number>();
    for (let round = 0; round < 60; round += 1) {
      const bytes = Buffer.from(whole);
      const start = 100 + Math.floor(random() * (bytes.length - 600));
      for (let at = start; at < start + 400; at += 1) bytes[at] = Math.floor(random() * 256);
      const damaged = `${path}.${round}.db`;
      await writeFile(damaged, bytes);
      const said = await readAndWrite(damaged);
      seen.set(said, (seen.get(said) ?? 0) + 1);
    }
    expect([...seen.keys()].filter((said) => !/^(corrupt|mismatch|clean)$/.test(said))).toEqual([]);
    expect(seen.get('corrupt')).toBeGreaterThan(10);
  });
});

/** Uses a file in every way, and says what came of it. */
async function readAndWrite(path: string): Promise<string> {
  const store = openFile(path);
  try {
    const purse = await openPurse({ store });
    await balancesText(purse);
    await charges(purse);
    await purse.report();
    await purse.charge({ usd: 0.01 }, { agent: 'a1' });
    return (await purse.verify()).ok ? 'clean' : 'mismatch';
  } catch (error) {
    return error instanceof StoreError ? error.failure : String(error);
  } finally {
    await store.close();
  }
}

describe('a file that cannot be written', () => {
  it('is read where it may be read, and says that it is read-only', async () => {
    const path = await filledFile(30);
    const directory = dirname(path);
    await chmod(directory, 0o755);
    // SQLite reads a file that it may not write to while a writer keeps its log open.
    const writer = await makePurse({ store: openFile(path) });
    await writer.charge({ usd: 0.1 }, { agent: 'a0' }, { id: 'last' });
    const before = await balancesText(writer);
    for (const name of ['', '-wal', '-shm']) await chmod(`${path}${name}`, 0o444);
    await chmod(directory, 0o555);
    onTestFinished(() => chmod(directory, 0o755));

    const child = startChild(new URL('reader.ts', import.meta.url), [path]);
    const read = JSON.parse(await child.line()) as Read;
    expect(read).toMatchObject({ opened: 'done', verified: true, report: { usd: 0.4 } });
    expect(read).toMatchObject({ charged: 'read_only', reserved: 'read_only' });
    expect(read.journal).toHaveLength(31);
    expect(read.journal?.[0]).toBe('last');
    expect(read.spent?.[0]).toBe(0.4);
    expect(await balancesText(writer)).toBe(before);
    expect((await writer.verify()).ok).toBe(true);
  });

  it('says which when another connection has it locked, and works when it is free', async () => {
    const path = await filledFile(10);
    const purse = await makePurse({ store: openFile(path, { lockTimeoutMs: 40 }) });
    const before = await balancesText(purse);
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const failed = purse.charge({ usd: 1 }, { agent: 'a1' }, { id: 'once' });
    await expect(failed).rejects.toMatchObject({ failure: 'locked', retryable: true });
    expect(await failureOf(purse.setLimit({ name: 'new', cap: { usd: 1 } }))).toBe('locked');
    other.exec('ROLLBACK');
    other.close();
    expect(await balancesText(purse)).toBe(before);
    const charge = await purse.charge({ usd: 1 }, { agent: 'a1' }, { id: 'once' });
    expect(charge.replayed).toBe(false);
    expect((await purse.verify()).ok).toBe(true);
  });

  it('waits for a lock that is freed in time', async () => {
    const path = await filledFile(1);
    const purse = await makePurse({ store: openFile(path, { lockTimeoutMs: 10_000 }) });
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const charge = purse.charge({ usd: 1 });
    setTimeout(() => other.exec('ROLLBACK'), 30);
    expect((await charge).amounts).toEqual({ usd: 1 });
    other.close();
  });
});

/** Charges until the file cannot grow, and tells how many were acknowledged. */
async function chargeUntilFull(purse: Purse): Promise<number> {
  for (let count = 0; count < 20_000; count += 1) {
    const work = purse.charge({ usd: 0.01 }, { agent: 'a', task: 'x'.repeat(1000) });
    const failure = await failureOf(work);
    if (failure === 'none') continue;
    expect(failure).toBe('full');
    return count;
  }
  throw new Error('it never filled up');
}

describe('a full disk', () => {
  it('stops at maxBytes with nothing half-written, and goes on with more', async () => {
    const path = await tempFile();
    const store = openFile(path, { maxBytes: 200_000 });
    const purse = await makePurse({ store, limits: LIMITS });
    const count = await chargeUntilFull(purse);
    expect(count).toBeGreaterThan(10);
    expect((await balanceOf(purse, 'all')).spent).toBe(count / 100);
    expect((await purse.verify()).charges).toBe(count);
    await store.close();
    expect((await stat(path)).size).toBeLessThanOrEqual(200_000);

    const roomy = await makePurse({ store: openFile(path) });
    await roomy.charge({ usd: 0.01 });
    expect((await balanceOf(roomy, 'all')).spent).toBe((count + 1) / 100);
    expect(await roomy.verify()).toMatchObject({ ok: true, charges: count + 1 });
  });

  it('says so when there is not even room for the schema', async () => {
    const path = await tempFile();
    expect(await failureOf(openPurse({ store: openFile(path, { maxBytes: 8192 }) }))).toBe('full');
    const purse = await makePurse({ store: openFile(path), limits: LIMITS });
    expect((await purse.verify()).ok).toBe(true);
  });

  it('survives a real disk that is full and is emptied again', async ({ skip }) => {
    const disk = join(await tempDirectory(), 'disk');
    await mkdir(disk);
    if (!mounted(disk)) skip('needs root and tmpfs');
    const store = openFile(join(disk, 'purse.db'));
    const purse = await makePurse({ store, limits: LIMITS });
    await writeFile(join(disk, 'ballast'), Buffer.alloc(600_000));
    const count = await chargeUntilFull(purse);
    const before = await balanceOf(purse, 'all');
    expect(before.spent).toBe(count / 100);
    await rm(join(disk, 'ballast'));
    await purse.charge({ usd: 0.01 });
    expect((await balanceOf(purse, 'all')).spent).toBe((count + 1) / 100);
    expect(await purse.verify()).toMatchObject({ ok: true, charges: count + 1 });
    await store.close();
  });
});

/** Mounts a disk of one megabyte for the length of the test, if that may be done here. */
function mounted(directory: string): boolean {
  if (process.platform !== 'linux') return false;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], {
      stdio: 'ignore',
    });
  } catch {
    return false;
  }
  onTestFinished(() => void execFileSync('umount', ['--lazy', directory]));
  return true;
}
