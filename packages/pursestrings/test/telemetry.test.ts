import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { type Attributes, metrics } from '@opentelemetry/api';
import { describe, expect, it, onTestFinished } from 'vitest';

import { openPurse, type Purse } from '../src/purse.ts';
import { memory } from '../src/stores/memory.ts';
import { loadTelemetryApi, observePurse, quietly, telemetryApi } from '../src/telemetry.ts';
import type { CountHold, TelemetryApi } from '../src/telemetry.ts';
import { manualClock } from '../src/testing/manual-clock.ts';
import { type MetricsReader, readMetrics } from './telemetry-reader.ts';

const LIMITS = [{ name: 'day', cap: { usd: 1, tokens: 100 }, per: 'day' }] as const;

/** Purses report by themselves, so here they are observed under another name. */
const WATCHED = 'watched';

async function open(): Promise<Purse> {
  const purse = await openPurse({ limits: LIMITS });
  onTestFinished(() => purse.close());
  return purse;
}

function watch(purse: Purse, api?: TelemetryApi): CountHold | null {
  return observePurse(purse, WATCHED, api);
}

async function watchedSums(
  reader: MetricsReader,
  name: string,
): Promise<[attributes: Attributes, sum: number][]> {
  return (await reader.sums(name)).filter(([about]) => about['purse.ledger'] === WATCHED);
}

describe('what a purse announces', () => {
  it('adds up what was spent, by unit', async () => {
    const reader = readMetrics();
    const purse = await open();
    watch(purse);
    await purse.charge({ usd: 0.25, tokens: 10 }, { agent: 'a1' });
    await (await purse.reserve({ usd: 0.5 })).settle({ usd: 0.125 });
    expect(await watchedSums(reader, 'purse.spend')).toEqual([
      [{ 'purse.ledger': WATCHED, 'purse.unit': 'tokens' }, 10],
      [{ 'purse.ledger': WATCHED, 'purse.unit': 'usd' }, 0.375],
    ]);
  });

  it('counts a charge once, however often it is asked for', async () => {
    const reader = readMetrics();
    const purse = await open();
    watch(purse);
    await purse.charge({ usd: 0.25 }, {}, { id: 'once' });
    await purse.charge({ usd: 0.25 }, {}, { id: 'once' });
    expect(await watchedSums(reader, 'purse.spend')).toEqual([
      [{ 'purse.ledger': WATCHED, 'purse.unit': 'usd' }, 0.25],
    ]);
  });

  it('counts what is taken back by itself, for a counter only goes up', async () => {
    const reader = readMetrics();
    const clock = manualClock('2026-11-22T00:00:00Z');
    const purse = await openPurse({ store: memory({ clock }), limits: LIMITS });
    onTestFinished(() => purse.close());
    watch(purse);
    const hold = await purse.reserve({ usd: 0.5 }, {}, { ifAbandoned: 'charge', ttlMs: 1000 });
    clock.advance(2000);
    await hold.settle({ usd: 0.2 });
    const about = { 'purse.ledger': WATCHED, 'purse.unit': 'usd' };
    expect(await watchedSums(reader, 'purse.spend')).toEqual([[about, 0.5]]);
    expect(await watchedSums(reader, 'purse.corrections')).toEqual([[about, 0.3]]);
    expect(await watchedSums(reader, 'purse.holds')).toEqual([
      [{ 'purse.ledger': WATCHED, 'purse.hold.event': 'expired' }, 1],
    ]);
  });

  it('counts a refused spend once, by the first limit that refused it', async () => {
    const reader = readMetrics();
    const purse = await open();
    watch(purse);
    await purse.setLimit({ name: 'tiny', cap: { usd: 0.1 } });
    await purse.tryReserve({ usd: 2 });
    await purse.tryReserve({ tokens: 101 });
    await purse.freeze({ agent: 'a1' });
    await purse.tryReserve({ usd: 0.1 }, { agent: 'a1' });
    const about = { 'purse.ledger': WATCHED };
    expect(await watchedSums(reader, 'purse.denials')).toEqual([
      [{ ...about, 'purse.limit': 'day', 'purse.reason': 'exceeds', 'purse.unit': 'usd' }, 1],
      [{ ...about, 'purse.limit': 'day', 'purse.reason': 'exceeds', 'purse.unit': 'tokens' }, 1],
      [{ ...about, 'purse.reason': 'frozen', 'purse.unit': 'usd' }, 1],
    ]);
  });

  it('counts holds as it hears or is told of them', async () => {
    const reader = readMetrics();
    const purse = await open();
    const count = watch(purse);
    count?.('taken');
    count?.('taken');
    count?.('released');
    const hold = await purse.reserve({ usd: 0.5 });
    await hold.settle({ usd: 0.25 });
    await hold.settle({ usd: 0.25 });
    await purse.charge({ usd: 0.25 });
    const events = await watchedSums(reader, 'purse.holds');
    expect(events.map(([{ 'purse.hold.event': event }, times]) => [event, times])).toEqual([
      ['taken', 2],
      ['released', 1],
      ['settled', 1],
    ]);
  });

  it('reports to a provider that is registered after the purse was opened', async () => {
    const purse = await open();
    watch(purse);
    await purse.charge({ usd: 0.1 });
    const reader = readMetrics();
    await purse.charge({ usd: 0.25 });
    const about = { 'purse.ledger': WATCHED, 'purse.unit': 'usd' };
    expect(await watchedSums(reader, 'purse.spend')).toEqual([[about, 0.25]]);
    metrics.disable();
    const next = readMetrics();
    await purse.charge({ usd: 0.5 });
    expect(await watchedSums(next, 'purse.spend')).toEqual([[about, 0.5]]);
  });
});

describe('a purse', () => {
  it('reports by itself, under the name of its ledger', async () => {
    const reader = readMetrics();
    const purse = await openPurse({ limits: LIMITS, ledger: 'team-a' });
    onTestFinished(() => purse.close());
    await (await purse.reserve({ usd: 0.5 }, {}, { id: 'once' })).settle({ usd: 0.25 });
    await (await purse.reserve({ usd: 0.5 }, {}, { id: 'once' })).settle({ usd: 0.25 });
    const back = await purse.reserve({ usd: 0.1 });
    await back.release();
    await back.release();
    const about = { 'purse.ledger': 'team-a' };
    expect(await reader.sums('purse.spend')).toEqual([[{ ...about, 'purse.unit': 'usd' }, 0.25]]);
    expect(await reader.sums('purse.holds')).toEqual([
      [{ ...about, 'purse.hold.event': 'taken' }, 2],
      [{ ...about, 'purse.hold.event': 'settled' }, 1],
      [{ ...about, 'purse.hold.event': 'released' }, 1],
    ]);
  });
});

describe('an application without telemetry', () => {
  it('listens to nothing where the API is not installed', () => {
    const announcer = {
      on: () => {
        throw new Error('It listened');
      },
    };
    expect(observePurse(announcer, 'default', null)).toBeNull();
  });

  it('finds the API where it is, and nothing where it is not', () => {
    expect(telemetryApi()?.metrics).toBe(metrics);
    expect(telemetryApi()).toBe(telemetryApi());
    const nowhere = pathToFileURL(join(tmpdir(), 'no', 'such', 'application.js')).href;
    expect(loadTelemetryApi(nowhere)).toBeNull();
    // What a CommonJS bundle makes of import.meta.url.
    expect(loadTelemetryApi(undefined as never)).toBeNull();
  });

  it('does without an API that is too old', () => {
    const directory = mkdtempSync(join(tmpdir(), 'purse-telemetry-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const place = join(directory, 'node_modules', '@opentelemetry', 'api');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'index.js'), 'exports.trace = {}; exports.metrics = {};');
    const from = pathToFileURL(join(directory, 'application.js')).href;
    expect(loadTelemetryApi(from)).toBeNull();
  });
});

describe('telemetry that fails', () => {
  const broken = {
    createNoopMeter: () => null,
    metrics: {
      getMeterProvider: () => {
        throw new Error('no metrics today');
      },
    },
    diag: {
      error: () => {
        throw new Error('and nobody to tell');
      },
    },
  } as unknown as TelemetryApi;

  it('costs nobody his spend, and is no error of the purse', async () => {
    const purse = await open();
    const errors: unknown[] = [];
    purse.on('error', (error) => errors.push(error));
    const count = watch(purse, broken);
    await purse.charge({ usd: 0.25 });
    await purse.tryReserve({ usd: 2 });
    expect(() => count?.('taken')).not.toThrow();
    expect(errors).toEqual([]);
    expect((await purse.report()).total).toEqual({ usd: 0.25 });
  });

  it('is told to the diagnostics of OpenTelemetry', () => {
    const told: unknown[] = [];
    const diag = { error: (...parts: unknown[]) => told.push(...parts) };
    const failure = new Error('broken');
    quietly({ diag } as unknown as TelemetryApi, () => {
      throw failure;
    });
    expect(told).toEqual(['pursestrings: telemetry failed', failure]);
  });
});
