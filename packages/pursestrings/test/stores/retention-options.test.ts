import { describe, expect, it } from 'vitest';
import type { Retention } from '../../src/stores/store.ts';
import { memory } from '../../src/stores/memory.ts';
import { postgres } from '../../src/stores/postgres.ts';
import { redis } from '../../src/stores/redis.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

const STORES: Record<string, (options: Retention) => unknown> = {
  memory: (options) => memory(options),
  sqlite: (options) => sqlite('./never-opened.db', options),
  redis: (options) => redis('redis://localhost', options),
  postgres: (options) => postgres('postgres://localhost/app', options),
};

describe.each(Object.keys(STORES))('%s', (kind) => {
  const make = STORES[kind] as (options: Retention) => unknown;

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

  it('takes a part of a day, and as little as one envelope', () => {
    expect(() => make({ journalDays: 0.5, maxEnvelopes: 1 })).not.toThrow();
  });
});

it.each([memory, (options: Retention) => sqlite('./never-opened.db', options)])(
  'refuses to list no charge',
  (make) => {
    expect(() => make({ maxCharges: 0 })).toThrow(/maxCharges is 0/);
  },
);
