import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openPurse } from 'pursestrings';
import { describe, expect, test } from 'vitest';
import { purse, purseHere, purseJsonHere, temporaryDirectory, writeTo } from './purse-process.ts';

/** A ledger of two agents on a SQLite file, with one refusal and one open hold. */
async function spentLedger(): Promise<string> {
  const store = `sqlite:${join(temporaryDirectory(), 'purse.db')}`;
  const ledger = await openPurse({
    store,
    limits: [
      { name: 'all', cap: { usd: 10 } },
      { name: 'agent', cap: { usd: 1 }, each: ['agent'] },
    ],
  });
  for (const agent of ['a1', 'a1', 'a2']) {
    const hold = await ledger.reserve({ usd: 0.3, tokens: 100 }, { agent, team: 'search' });
    await hold.settle({ usd: 0.25, tokens: 90 });
  }
  await ledger.tryReserve({ usd: 2 }, { agent: 'a1', team: 'search' });
  await ledger.reserve({ usd: 0.5 }, { agent: 'a2', team: 'search' });
  await ledger.close();
  return store;
}

describe('purse report', () => {
  test('adds up by label, for machines and for people', async () => {
    const store = await spentLedger();
    const report = await purseJsonHere<{
      since: string;
      rows: readonly object[];
      total: object;
    }>(['report', '--store', store, '--by', 'agent,team']);
    expect(report.total).toEqual({ usd: 0.75, tokens: 270 });
    expect(report.rows).toEqual([
      {
        labels: { agent: 'a1', team: 'search' },
        amounts: { usd: 0.5, tokens: 180 },
        charges: 2,
        denials: 1,
      },
      {
        labels: { agent: 'a2', team: 'search' },
        amounts: { usd: 0.25, tokens: 90 },
        charges: 1,
        denials: 0,
      },
    ]);
    const { stdout } = await purseHere(['report', '--store', store, '--by', 'agent']);
    expect(stdout).toMatch(/a1 +\$0\.50 +180 +2/);
    expect(stdout).toMatch(/total +\$0\.75 +270 +3/);
  });

  test('keeps to a span of time', async () => {
    const store = await spentLedger();
    const before = ['report', '--store', store, '--until', '2020-01-01', '--since', '2019-01-01'];
    expect(await purseJsonHere(before)).toMatchObject({
      since: '2019-01-01T00:00:00.000Z',
      total: {},
    });
    const lately = await purseJsonHere<{ total: object }>([
      'report',
      '--store',
      store,
      '--since',
      '2h',
    ]);
    expect(lately.total).toEqual({ usd: 0.75, tokens: 270 });
    const { stdout } = await purseHere(before);
    expect(stdout).toContain('Nothing was spent');
  });
});

describe('purse balances', () => {
  test('shows spent, held and left, of one limit or of some labels', async () => {
    const store = await spentLedger();
    const all = await purseJsonHere<{ balances: readonly object[] }>([
      'balances',
      '--store',
      store,
    ]);
    expect(all.balances).toHaveLength(3);
    const one = await purseJsonHere<{ balances: readonly object[] }>([
      'balances',
      '--store',
      store,
      '--limit',
      'agent',
      '--label',
      'agent=a2',
    ]);
    expect(one.balances).toMatchObject([
      {
        limit: 'agent',
        unit: 'usd',
        labels: { agent: 'a2' },
        cap: 1,
        spent: 0.25,
        held: 0.5,
        available: 0.25,
        fraction: 0.25,
        status: 'within_budget',
        window: { end: null },
      },
    ]);
    const { stdout } = await purseHere(['balances', '--store', store]);
    expect(stdout).toMatch(
      /agent +agent=a1 +always +\$0\.50 +\$0\.00 +\$0\.50 +\$1\.00 +█+░+ 50 %/,
    );
  });
});

describe('purse holds', () => {
  test('lists what is under way, of some labels or of all', async () => {
    const store = await spentLedger();
    const ledger = await openPurse({ store });
    await ledger.reserve(
      { usd: 0.25, tokens: 1200 },
      { agent: 'a1' },
      { id: 'batch-1', description: 'the nightly batch' },
    );
    await ledger.close();
    const all = ['holds', '--store', store];
    const some = await purseJsonHere<{ holds: readonly { expiresAt: string }[] }>([
      ...all,
      '--label',
      'agent=a1',
    ]);
    expect(some.holds).toEqual([
      {
        id: 'batch-1',
        amounts: { usd: 0.25, tokens: 1200 },
        labels: { agent: 'a1' },
        description: 'the nightly batch',
        expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      },
    ]);
    const { stdout } = await purseHere(all);
    expect(stdout).toMatch(
      /batch-1 +agent=a1 +1,200 tokens, \$0\.25 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +the nightly batch/,
    );
    expect(stdout).toMatch(/agent=a2 team=search +\$0\.50 /);
    expect((await purseHere([...all, '--label', 'agent=nobody'])).stdout).toContain(
      'No hold is open',
    );
  });
});

describe('purse limits', () => {
  test('sets from a file and from options, shows, and removes', async () => {
    const directory = temporaryDirectory();
    const at = ['--store', `sqlite:${directory}/new.db`];
    const file = writeTo(
      directory,
      'limits.yaml',
      'limits:\n  - { name: day, cap: { usd: 50 }, per: day }\n  - { name: all, cap: { calls: 9 } }\n',
    );
    expect(await purseJsonHere(['limits', 'set', ...at, '--file', file])).toEqual({
      set: ['day', 'all'],
    });
    const options = [
      '--name',
      'team',
      '--cap',
      'usd=0.10,calls=5',
      '--cap',
      'tokens=1000',
      '--per',
      '5h',
      '--from',
      '2026-01-01T00:00:00Z',
      '--each',
      'agent,task',
      '--where',
      'team=search',
      '--where',
      'team=support',
      '--where',
      'env=live',
      '--mode',
      'soft',
      '--warn-at',
      '0.5,1',
    ];
    expect(await purseJsonHere(['limits', 'set', ...at, ...options])).toEqual({ set: ['team'] });
    const { limits } = await purseJsonHere<{ limits: readonly object[] }>(['limits', ...at]);
    expect(limits).toEqual([
      { name: 'day', cap: { usd: 50 }, per: 'day', timeZone: 'UTC' },
      { name: 'all', cap: { calls: 9 } },
      {
        name: 'team',
        cap: { usd: '0.10', calls: '5', tokens: '1000' },
        per: { every: '5h', from: '2026-01-01T00:00:00Z' },
        each: ['agent', 'task'],
        where: { team: ['search', 'support'], env: 'live' },
        mode: 'soft',
        warnAt: [0.5, 1],
      },
    ]);
    const { stdout } = await purseHere(['limits', ...at]);
    expect(stdout).toMatch(/day +\$50 +day \(UTC\)/);
    expect(await purseJsonHere(['limits', 'remove', 'all', ...at])).toEqual({ removed: 'all' });
    const after = await purseJsonHere<{ limits: readonly { name: string }[] }>(['limits', ...at]);
    expect(after.limits.map(({ name }) => name)).toEqual(['day', 'team']);
  });

  test('sets all limits of a file or none', async () => {
    const directory = temporaryDirectory();
    const at = ['--store', `sqlite:${directory}/new.db`];
    await purseJsonHere(['limits', 'set', ...at, '--name', 'day', '--cap', 'usd=1']);
    const file = writeTo(
      directory,
      'limits.yaml',
      'limits: [{ name: good, cap: { usd: 1 } }, { name: bad, cap: {} }]',
    );
    expect((await purseHere(['limits', 'set', ...at, '--file', file])).status).toBe(2);
    const { limits } = await purseJsonHere<{ limits: readonly { name: string }[] }>([
      'limits',
      ...at,
    ]);
    expect(limits.map(({ name }) => name)).toEqual(['day']);
  });
});

describe('purse freeze', () => {
  test('denies what carries the labels until purse unfreeze', async () => {
    const store = await spentLedger();
    const at = ['--store', store];
    const reason = ['--reason', 'runs wild'];
    expect(await purseJsonHere(['freeze', ...at, '--label', 'agent=a1', ...reason])).toEqual({
      frozen: { agent: 'a1' },
      reason: 'runs wild',
    });
    const ledger = await openPurse({ store });
    const frozen = await ledger.check({ usd: 0.1 }, { agent: 'a1' });
    expect(frozen.denials).toMatchObject([{ reason: 'frozen' }]);
    expect((await ledger.check({ usd: 0.1 }, { agent: 'a2' })).allowed).toBe(true);
    const { stdout } = await purseHere(['limits', ...at]);
    expect(stdout).toContain('Frozen: agent=a1: runs wild');
    const other = await purseJsonHere(['unfreeze', ...at, '--label', 'agent=a9']);
    expect(other).toEqual({ unfrozen: { agent: 'a9' }, lifted: false });
    const lifted = await purseJsonHere(['unfreeze', ...at, '--label', 'agent=a1']);
    expect(lifted).toEqual({ unfrozen: { agent: 'a1' }, lifted: true });
    await ledger.close();
    const again = await openPurse({ store });
    expect((await again.check({ usd: 0.1 }, { agent: 'a1' })).allowed).toBe(true);
    await again.close();
  });

  test('freezes everything only when told to', async () => {
    const store = await spentLedger();
    expect((await purseHere(['freeze', '--store', store])).status).toBe(2);
    expect(await purseJsonHere(['freeze', '--store', store, '--all'])).toMatchObject({
      frozen: {},
    });
    const ledger = await openPurse({ store });
    expect((await ledger.check({ usd: 0.1 }, { agent: 'a2' })).allowed).toBe(false);
    await ledger.close();
    expect(await purseJsonHere(['unfreeze', '--store', store, '--all'])).toMatchObject({
      lifted: true,
    });
  });
});

describe('purse verify', () => {
  test('ends with 0 when the ledger adds up, and with 1 when it does not', async () => {
    const store = await spentLedger();
    const good = await purse(['verify', '--store', store]);
    expect(good).toMatchObject({ status: 0, stderr: '' });
    expect(good.stdout).toContain('adds up: 3 charges, 3 envelopes');
    tamper(store.slice('sqlite:'.length));
    const bad = await purse(['verify', '--store', store, '--json']);
    expect(bad.status).toBe(1);
    expect(JSON.parse(bad.stdout)).toMatchObject({ ok: false, mismatches: [{ field: 'spent' }] });
    const told = await purse(['verify', '--store', store]);
    expect(told.status).toBe(1);
    expect(told.stdout).toContain('does not add up: 1 mismatch');
  });
});

/** Adds a step to what one envelope says was spent, behind the ledger's back. */
function tamper(path: string): void {
  const database = new DatabaseSync(path);
  const changed = database
    .prepare('UPDATE purse_envelopes SET spent = spent + 1 WHERE id = 1')
    .run();
  database.close();
  expect(changed.changes).toBe(1);
}

describe('a store that is not what it should be', () => {
  test.each([
    [['report']],
    [['balances']],
    [['limits']],
    [['limits', 'remove', 'day']],
    [['freeze', '--all']],
    [['unfreeze', '--all']],
    [['verify']],
  ])('is not made by purse %j', async (command) => {
    const path = join(temporaryDirectory(), 'none.db');
    const ended = await purseHere([...command, '--store', `sqlite:${path}`]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain(`sqlite:${path}: there is no such file`);
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ['text', 'This is no database. '.repeat(500)],
    ['nothing', ''],
  ])('because it holds %s, is refused and left as it was', async (_, text) => {
    const path = writeTo(temporaryDirectory(), 'other.db', text);
    for (const command of ['verify', 'report']) {
      const ended = await purseHere([command, '--store', `sqlite:${path}`]);
      expect(ended.status).toBe(2);
      expect(ended.stderr).toContain('other.db');
      expect(ended.stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(readFileSync(path, 'utf8')).toBe(text);
  });
});
