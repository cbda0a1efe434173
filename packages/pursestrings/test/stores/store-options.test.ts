import { describe, expect, it } from 'vitest';
import type { Retention } from '../../src/stores/store.ts';
import { memory } from '../../src/stores/memory.ts';
import { migrate, postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

const STORES: Record<string, (options: Retention) => unknown> = {
  memory: (options) => memory(options),
  sqlite: (options) => sqlite('./never-opened.db', options),
  redis: (options) => redis('redis://localhost', options),
  postgres: (options) => postgres('postgres://localhost/app', options),
};

describe.each(Object.keys(STORES))('%s', (kind) => {
  const make = (options: Retention): unknown => STORES[kind]?.(options);

  it.each([
    { journalDays: 0 },
    { journalDays: -1 },
    { journalDays: Number.NaN },
    { journalDays: Infinity },
    { journalDays: '30' as never },
    { maxEnvelopes: 0 },
    { maxEnvelopes: 1.5 },
    { maxEnvelopes: Number.NaN },
    { maxEnvelopes: null as never },
  ])('refuses a bound that bounds nothing: %o', (options) => {
    const [[name, value] = []] = Object.entries(options);
    const message = expect.stringContaining(`${name} is ${String(value)}`) as string;
    const shown = typeof value === 'string' ? (expect.any(String) as string) : message;
    expect(() => make(options)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: shown }),
    );
  });

  it('takes a part of a day, as little as one envelope, and for ever', () => {
    expect(() => make({ journalDays: 0.5, maxEnvelopes: 1 })).not.toThrow();
    expect(() => make({ journalDays: 1_000_000 })).not.toThrow();
  });
});

it.each([memory, (options: Retention) => sqlite('./never-opened.db', options)])(
  'refuses to list no charge',
  (make) => {
    expect(() => make({ maxCharges: 0 })).toThrow(/maxCharges is 0/);
  },
);

describe('a URL that cannot be read', () => {
  it.each([
    'redis://bob:secret-word@localhost:99999',
    'redis://bob:secret-%word@localhost:6379',
    'redis://bob:secret-word@localhost:6379/main',
    'redis://bob:secret#word@localhost:6379',
  ])('is refused by redis(), and not repeated: %s', (url) => {
    expect(() => redis(url)).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.not.stringMatching(/secret/) as string,
      }),
    );
  });

  it.each([
    'postgres://bob:secret-word@localhost:99999/app',
    'postgres://bob:secret-%word@localhost/app',
    'postgres://bob:secret#word@localhost/app',
    'mysql://bob:secret-word@localhost/app',
    '',
  ])('is refused by postgres() and migrate(), and not repeated: %s', async (url) => {
    const refusal = expect.objectContaining({
      code: 'INVALID_OPTION',
      message: expect.not.stringMatching(/secret/) as string,
    });
    expect(() => postgres(url)).toThrow(refusal);
    await expect(migrate(url)).rejects.toEqual(refusal);
  });

  it.each([
    'redis://localhost',
    'rediss://:p%40ss@cache.example.com:6380/3',
    'redis://[::1]:6379/',
    'redis://localhost:6379?family=6',
  ])('is told from %s', (url) => {
    expect(() => redis(url)).not.toThrow();
  });

  it.each([
    'postgres:///app?host=/var/run/postgresql',
    'postgresql://bob:p%40ss@db.example.com:5432/app?sslmode=require',
    'postgres://bob@first:5432,second:5433/app',
    'postgres://%2Fvar%2Frun/app',
  ])('is told from %s', (url) => {
    expect(() => postgres(url)).not.toThrow();
  });
});
