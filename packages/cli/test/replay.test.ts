import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { purse, purseJson, temporaryDirectory, tracePath, writeTo } from './purse-process.ts';

interface Sums {
  readonly usd: number;
  readonly tokens: number;
  readonly calls: number;
}

interface ReplayJson {
  readonly requests: number;
  readonly admitted: number;
  readonly denied: number;
  readonly badRows: number;
  readonly spent: Sums;
  readonly unlimited: Sums;
  readonly limits: readonly {
    readonly name: string;
    readonly denied: number;
    readonly firstDeniedAt: string | null;
  }[];
  readonly labels: readonly {
    readonly labels: Record<string, string>;
    readonly requests: number;
  }[];
  readonly windows: readonly {
    readonly limit: string;
    readonly unit: string;
    readonly labels: Record<string, string>;
    readonly start: string;
    readonly end: string | null;
    readonly spent: number;
    readonly cap: number;
    readonly denied: number;
  }[];
}

/** Rates that are no whole steps a token, so that rounding each request up shows in the sums. */
const PRICES = 'fine-model:\n  usdPerMillion: { input: 0.0375, output: 0.15 }\n';

interface Row {
  readonly timeMs: number;
  readonly tokens: bigint;
  readonly steps: bigint;
}

/** Reads the trace in another way than the command does, in exact integers. */
function readRows(path: string): readonly Row[] {
  return readFileSync(path, 'latin1')
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== '')
    .map((line) => {
      const [time = '', prompt = '', completion = ''] = line.split(',');
      const [input, output] = [BigInt(prompt), BigInt(completion)];
      return {
        timeMs: Date.parse(`${time.slice(0, 10)}T${time.slice(11, 23)}Z`),
        tokens: input + output,
        steps: (input * 375n + output * 1500n + 99n) / 100n,
      };
    });
}

function sumsOf(rows: readonly Row[]): Sums {
  const steps = rows.reduce((sum, row) => sum + row.steps, 0n);
  const tokens = rows.reduce((sum, row) => sum + row.tokens, 0n);
  return { usd: Number(steps) / 1e8, tokens: Number(tokens), calls: rows.length };
}

describe('a production trace', () => {
  test('comes to exactly what an independent sum says, and leaves a ledger that adds up', async () => {
    const directory = temporaryDirectory();
    const trace = tracePath(directory);
    const store = `sqlite:${join(directory, 'purse.db')}`;
    const prices = writeTo(directory, 'prices.yaml', PRICES);
    const rows = readRows(trace);
    const all = sumsOf(rows);
    const cap = Number((all.usd / 3).toFixed(8));
    const limits = writeTo(
      directory,
      'limits.yaml',
      `limits:\n  - { name: hourly, cap: { usd: ${cap} }, per: hour }\n` +
        '  - { name: roomy, cap: { usd: 1000 }, per: day }\n',
    );
    const result = await purseJson<ReplayJson>([
      'replay',
      trace,
      '--limits',
      limits,
      '--prices',
      prices,
      '--model',
      'fine-model',
      '--store',
      store,
    ]);

    const capSteps = BigInt(Math.round(cap * 1e8));
    const hours = new Map<number, { spent: bigint; denied: number }>();
    const admitted: Row[] = [];
    let firstDeniedMs: number | null = null;
    for (const row of rows) {
      const start = row.timeMs - (row.timeMs % 3_600_000);
      const hour = hours.get(start) ?? { spent: 0n, denied: 0 };
      hours.set(start, hour);
      if (hour.spent + row.steps > capSteps) {
        hour.denied += 1;
        firstDeniedMs ??= row.timeMs;
        continue;
      }
      hour.spent += row.steps;
      admitted.push(row);
    }
    const denied = rows.length - admitted.length;
    expect(denied).toBeGreaterThan(0);
    expect(result).toMatchObject({
      requests: rows.length,
      admitted: admitted.length,
      denied,
      badRows: 0,
      spent: sumsOf(admitted),
      unlimited: all,
      limits: [
        { name: 'hourly', denied, firstDeniedAt: new Date(firstDeniedMs ?? 0).toISOString() },
        { name: 'roomy', denied: 0, firstDeniedAt: null },
      ],
    });
    expect(result.windows.filter(({ limit }) => limit === 'hourly')).toEqual(
      [...hours].map(([start, hour]) => ({
        limit: 'hourly',
        unit: 'usd',
        labels: {},
        start: new Date(start).toISOString(),
        end: new Date(start + 3_600_000).toISOString(),
        spent: Number(hour.spent) / 1e8,
        cap,
        denied: hour.denied,
      })),
    );

    const days = new Set(rows.map(({ timeMs }) => Math.floor(timeMs / 86_400_000)));
    expect(await purseJson(['verify', '--store', store])).toEqual({
      ok: true,
      envelopes: hours.size + days.size,
      charges: admitted.length,
      mismatches: [],
    });
    const report = await purseJson<{ total: object; rows: readonly object[] }>([
      'report',
      '--store',
      store,
    ]);
    expect(report.total).toEqual({ ...sumsOf(admitted) });
    expect(report.rows).toMatchObject([{ charges: admitted.length, denials: denied }]);
  });

  test('shows its sums, its caps and its windows to people', async () => {
    const directory = temporaryDirectory();
    const limits = writeTo(
      directory,
      'limits.yaml',
      'limits: [{ name: hourly, cap: { calls: 100 }, per: hour }]',
    );
    const { status, stdout } = await purse([
      'replay',
      tracePath(directory),
      '--limits',
      limits,
      '--model',
      'gpt-4o',
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/admitted +200 /);
    expect(stdout).toMatch(/hourly +[\d,]+ +2023-11-16T18:/);
    expect(stdout).toContain('2023-11-16 18:00 to 19:00');
    expect(stdout).not.toContain('\u001B');
  });
});

describe('limits', () => {
  test('count every limit that refused, and separate by model', async () => {
    const directory = temporaryDirectory();
    const trace = writeTo(
      directory,
      'burst.csv',
      [
        'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type',
        '5,small,100,10,110,Conversation log',
        '6.5,large,100,10,110,API log',
        '7,small,100,10,110,Conversation log',
        '86405,small,100,10,110,Conversation log',
      ].join('\n'),
    );
    const prices = writeTo(
      directory,
      'prices.json',
      JSON.stringify({
        small: { usdPerMillion: { input: 1, output: 1 } },
        large: { usdPerMillion: { input: 10, output: 10 } },
      }),
    );
    const limits = writeTo(
      directory,
      'limits.json',
      JSON.stringify({
        limits: [
          { name: 'model-day', cap: { calls: 1 }, per: 'day', each: ['model'] },
          { name: 'day', cap: { tokens: 220, usd: 1 }, per: 'day' },
          { name: 'watch', cap: { calls: 1 }, mode: 'soft' },
        ],
      }),
    );
    const result = await purseJson<ReplayJson>([
      'replay',
      trace,
      '-l',
      limits,
      '-p',
      prices,
      '-m',
      'ignored',
    ]);
    expect(result).toMatchObject({
      requests: 4,
      admitted: 3,
      denied: 1,
      spent: { usd: 0.00132, tokens: 330, calls: 3 },
      unlimited: { usd: 0.00143, tokens: 440, calls: 4 },
      limits: [
        { name: 'model-day', denied: 1, firstDeniedAt: '1970-01-01T00:00:07.000Z' },
        { name: 'day', denied: 1, firstDeniedAt: '1970-01-01T00:00:07.000Z' },
        { name: 'watch', denied: 0, firstDeniedAt: null },
      ],
    });
    expect(result.labels.map(({ labels, requests }) => [labels['model'], requests])).toEqual([
      ['small', 3],
      ['large', 1],
    ]);
    const start = '1970-01-01T00:00:00.000Z';
    expect(result.windows).toContainEqual({
      limit: 'model-day',
      unit: 'calls',
      labels: { model: 'small' },
      start,
      end: '1970-01-02T00:00:00.000Z',
      spent: 1,
      cap: 1,
      denied: 1,
    });
    expect(result.windows).toContainEqual({
      limit: 'watch',
      unit: 'calls',
      labels: {},
      start,
      end: null,
      spent: 3,
      cap: 1,
      denied: 0,
    });
    expect(result.windows.filter(({ limit }) => limit === 'model-day')).toHaveLength(3);
  });

  test('name a window in which everything was denied, for an envelope that never was', async () => {
    const directory = temporaryDirectory();
    const trace = writeTo(
      directory,
      'trace.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 23:30:00,1,1\n',
    );
    const limits = writeTo(
      directory,
      'limits.yaml',
      'limits:\n  - name: none\n    cap: { calls: 0 }\n    per: day\n    each: [model]\n' +
        '    timeZone: Europe/Berlin\n',
    );
    const result = await purseJson<ReplayJson>(['replay', trace, '-l', limits, '-m', 'gpt-4o']);
    expect(result.windows).toEqual([
      {
        limit: 'none',
        unit: 'calls',
        labels: { model: 'gpt-4o' },
        start: '2023-11-16T23:00:00.000Z',
        end: '2023-11-17T23:00:00.000Z',
        spent: 0,
        cap: 0,
        denied: 1,
      },
    ]);
  });

  test('follow the time of each request, also back', async () => {
    const directory = temporaryDirectory();
    const trace = writeTo(
      directory,
      'trace.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n' +
        ['10:59:59', '11:00:00', '10:59:58', '11:00:01']
          .map((time) => `2023-11-16 ${time},1,1`)
          .join('\n'),
    );
    const limits = writeTo(
      directory,
      'limits.yaml',
      'limits: [{ name: hourly, cap: { calls: 1 }, per: hour }]',
    );
    const result = await purseJson<ReplayJson>(['replay', trace, '-l', limits, '-m', 'gpt-4o']);
    expect(result.windows.map(({ start, spent, denied }) => [start, spent, denied])).toEqual([
      ['2023-11-16T10:00:00.000Z', 1, 1],
      ['2023-11-16T11:00:00.000Z', 1, 1],
    ]);
    expect(result.limits[0]?.firstDeniedAt).toBe('2023-11-16T10:59:58.000Z');
  });

  test('are not needed: what nothing covers is admitted', async () => {
    const directory = temporaryDirectory();
    const trace = writeTo(
      directory,
      'trace.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:00,1000000,0\n',
    );
    const result = await purseJson<ReplayJson>(['replay', trace, '--model', 'gpt-4o']);
    expect(result).toMatchObject({ admitted: 1, denied: 0, limits: [], windows: [] });
    expect(result.spent).toEqual(result.unlimited);
  });
});
