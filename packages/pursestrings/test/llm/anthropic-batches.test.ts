import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it, onTestFinished } from 'vitest';

import { meteredFetch } from '../../src/llm/index.ts';
import { openPurse } from '../../src/purse.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { anthropicBench, say } from './anthropic-fixture.ts';
import type { AnthropicBench } from './anthropic-fixture.ts';
import { rejection, steps, until } from './fixture.ts';
import { anthropicPeer } from './peers/anthropic-peer.ts';
import type { AnthropicPeer, AnthropicPeerOptions } from './peers/anthropic-peer.ts';

const HOUR_MS = 3_600_000;

/** What each request uses, beside its 4 words of output. */
const USAGE = {
  input_tokens: 1_001,
  cache_read_input_tokens: 2_000,
  cache_creation_input_tokens: 30,
  cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
  output_tokens: 301,
};

/**
 * Half of what Haiku 4.5 costs, in half-steps of 1e-8 USD (USD 1, 1.25, 2, 0.10 and 5 a million:
 * https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22), for so many requests.
 */
function halfPrice(requests: bigint): bigint {
  const halves = (1_001n * 100n + 10n * 125n + 20n * 200n + 2_000n * 10n + 301n * 500n) * requests;
  return (halves + 1n) / 2n;
}

/** Several processes, as it were: each has a purse and an SDK of its own on one file. */
interface Office {
  readonly peer: AnthropicPeer;
  readonly clock: ManualClock;
  worker(): Promise<AnthropicBench>;
}

async function openOffice(options: AnthropicPeerOptions = {}): Promise<Office> {
  const peer = await anthropicPeer({ answer: () => ({ usage: USAGE }), ...options });
  onTestFinished(() => peer.close());
  const path = join(mkdtempSync(join(tmpdir(), 'purse-batch-')), 'purse.db');
  const clock = manualClock('2026-11-22T00:00:00Z');
  return {
    peer,
    clock,
    worker: () => {
      const store = sqlite(path, { clock });
      onTestFinished(() => store.close());
      return anthropicBench(peer, { purse: { store } });
    },
  };
}

function batchOf(count: number): Anthropic.Messages.BatchCreateParams {
  const requests = Array.from({ length: count }, (_, index) => ({
    custom_id: `request-${index}`,
    params: say({ max_tokens: 400 }),
  }));
  return { requests };
}

async function readAll(worker: AnthropicBench, id: string): Promise<string[]> {
  const types: string[] = [];
  for await (const { result } of await worker.anthropic.messages.batches.results(id)) {
    types.push(result.type);
  }
  return types;
}

describe('a batch', () => {
  it('is held whole, for 25 hours, under its own id', async () => {
    const office = await openOffice();
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(3));
    const hold = await worker.purse.hold(id);
    expect(hold?.expiresAt.getTime()).toBe(office.clock.now() + 25 * HOUR_MS);
    expect(hold?.amounts).toMatchObject({ calls: 3 });
    const held = await worker.heldSteps();
    // Half of USD 5 a million for the output alone.
    expect(held).toBeGreaterThan(3n * 400n * 250n);
    expect(held).toBeLessThan(3n * 400n * 500n);
    expect(held).toBe(steps(hold?.amounts.usd as number));
    expect(await worker.charges()).toEqual([]);
  });

  it('is settled in whichever process reads its results, exactly', async () => {
    const office = await openOffice();
    const [maker, reader] = [await office.worker(), await office.worker()];
    const { id } = await maker.anthropic.messages.batches.create(batchOf(3));
    expect((await reader.anthropic.messages.batches.retrieve(id)).processing_status).toBe(
      'in_progress',
    );
    expect(await reader.heldSteps()).toBeGreaterThan(0n);
    office.peer.endBatch(id);
    expect(await readAll(reader, id)).toEqual(['succeeded', 'succeeded', 'succeeded']);
    const [charge, ...others] = await maker.charges();
    expect(others).toEqual([]);
    expect(charge).toMatchObject({
      id,
      amounts: { calls: 3, tokens: 3 * (1_001 + 2_000 + 30 + 301) },
      labels: { provider: 'anthropic', model: 'claude-haiku-4-5' },
      late: false,
    });
    expect(await maker.spentSteps()).toBe(halfPrice(3n));
    expect(await maker.heldSteps()).toBe(0n);
    expect(await maker.purse.verify()).toMatchObject({ ok: true });
  });

  it('is settled once, however often and by however many its results are read', async () => {
    const office = await openOffice();
    const workers = [await office.worker(), await office.worker()];
    const [maker] = workers as [AnthropicBench];
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const { id } = await maker.anthropic.messages.batches.create(batchOf(2));
    office.peer.endBatch(id);
    await Promise.all(workers.map((worker) => readAll(worker, id)));
    await Promise.all(workers.map((worker) => readAll(worker, id)));
    expect(await maker.charges()).toHaveLength(1);
    expect(await maker.spentSteps()).toBe(halfPrice(2n));
    expect(await maker.heldSteps()).toBe(0n);
    process.off('warning', onWarning);
    expect(warnings.filter(({ name }) => name === 'PurseWarning')).toEqual([]);
  });

  it('bills only what succeeded', async () => {
    const office = await openOffice();
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(4));
    office.peer.endBatch(id, ['errored', 'succeeded', 'canceled', 'expired']);
    await readAll(worker, id);
    expect(await worker.spentSteps()).toBe(halfPrice(1n));
    expect((await worker.charges())[0]?.amounts).toMatchObject({ calls: 1 });
  });

  it.each(['results', 'batch'])('costs nothing when nothing succeeded, by its %s', async (by) => {
    const office = await openOffice();
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(2));
    await worker.anthropic.messages.batches.cancel(id);
    expect(await worker.heldSteps()).toBeGreaterThan(0n);
    office.peer.endBatch(id, ['canceled', 'errored']);
    if (by === 'results') {
      const response = await worker.fetch(`${office.peer.url}/v1/messages/batches/${id}/results`);
      expect((await response.text()).split('\n')).toHaveLength(3);
    } else {
      await worker.anthropic.messages.batches.retrieve(id);
    }
    expect(await worker.charges()).toEqual([]);
    expect(await worker.heldSteps()).toBe(0n);
    await worker.anthropic.messages.batches.delete(id);
  });

  it('stays held while its results are cut, and is settled once they are read whole', async () => {
    let cut: number | null = 100;
    const office = await openOffice({ cutResultsAfter: () => cut });
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(3));
    office.peer.endBatch(id);
    const held = await worker.heldSteps();
    for (const bytes of [100, 1_000]) {
      cut = bytes;
      await rejection(readAll(worker, id));
      expect(await worker.charges()).toEqual([]);
      expect(await worker.heldSteps()).toBe(held);
    }
    cut = null;
    await readAll(worker, id);
    expect(await worker.charges()).toHaveLength(1);
    expect(await worker.spentSteps()).toBe(halfPrice(3n));
  });

  it('stays held when its reader leaves half-way', async () => {
    const office = await openOffice();
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(200));
    office.peer.endBatch(id);
    const response = await worker.fetch(`${office.peer.url}/v1/messages/batches/${id}/results`);
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    expect(await worker.charges()).toEqual([]);
    expect(await worker.heldSteps()).toBeGreaterThan(0n);
    await readAll(worker, id);
    expect(await worker.spentSteps()).toBe(halfPrice(200n));
  });

  it('is corrected when its results are read after its hold expired', async () => {
    const office = await openOffice();
    const [maker, reader] = [await office.worker(), await office.worker()];
    const { id } = await maker.anthropic.messages.batches.create(batchOf(3));
    const held = await maker.heldSteps();
    office.peer.endBatch(id);
    office.clock.advance(26 * HOUR_MS);
    // Something touches the ledger, and the hold is charged as it stands.
    await maker.purse.charge({ calls: 1 });
    expect(await maker.spentSteps()).toBe(held);
    await readAll(reader, id);
    await readAll(maker, id);
    expect(await maker.spentSteps()).toBe(halfPrice(3n));
    expect((await maker.charges()).at(-1)).toMatchObject({ late: true, corrects: id });
    expect(await maker.purse.verify()).toMatchObject({ ok: true });
  });

  it('costs half also where its results do not say that they are of a batch', async () => {
    const silent = { service_tier: null, inference_geo: null, speed: null };
    const office = await openOffice({ answer: () => ({ usage: { ...USAGE, ...silent } }) });
    const worker = await office.worker();
    const { id } = await worker.anthropic.messages.batches.create(batchOf(2));
    office.peer.endBatch(id);
    await readAll(worker, id);
    expect(await worker.spentSteps()).toBe(halfPrice(2n));
  });

  it.each([
    { model: 'claude-unheard-of', usage: USAGE },
    { usage: USAGE, told: { ...USAGE, input_tokens: 'many' } },
    { usage: USAGE, told: { input_tokens: 5 } },
  ])('is charged as held when nobody knows what it used: %j', async (strange) => {
    const office = await openOffice({
      answer: ({ body }) => (body.metadata === undefined ? { usage: USAGE } : strange),
    });
    const worker = await office.worker();
    const odd = { custom_id: 'odd', params: say({ metadata: { user_id: 'u' } }) };
    const { requests } = batchOf(1);
    const { id } = await worker.anthropic.messages.batches.create({ requests: [...requests, odd] });
    const held = await worker.heldSteps();
    office.peer.endBatch(id);
    await readAll(worker, id);
    expect(await worker.spentSteps()).toBe(held);
  });

  it('is free when it was not taken', async () => {
    const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
    onTestFinished(() => purse.close());
    const metered = meteredFetch(purse, {
      fetch: () => Promise.resolve(Response.json({ type: 'error', error: {} }, { status: 413 })),
    });
    const body = JSON.stringify(batchOf(2));
    await metered('https://api.anthropic.com/v1/messages/batches', { method: 'POST', body });
    for await (const { held, spent } of purse.balances()) expect([held, spent]).toEqual([0, 0]);
  });

  it('is charged as held when its answer does not name it', async () => {
    const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
    onTestFinished(() => purse.close());
    const metered = meteredFetch(purse, {
      fetch: () => Promise.resolve(Response.json({ id: '' })),
    });
    const body = JSON.stringify(batchOf(2));
    await metered('https://api.anthropic.com/v1/messages/batches', { method: 'POST', body });
    await until(async () => {
      for await (const { amounts, held } of purse.journal()) return amounts.usd === held?.usd;
      return false;
    });
  });

  it.each([
    {},
    { requests: [] },
    { requests: [{ custom_id: 'a' }] },
    { requests: [{ custom_id: 'a', params: say() }, null] },
    { requests: [{ custom_id: 'a', params: say({ speed: 'fast' }) }] },
    { requests: [{ custom_id: 'a', params: say({ model: 'claude-unheard-of' }) }] },
  ])('that cannot be read or priced is not sent: %j', async (body) => {
    const office = await openOffice();
    const worker = await office.worker();
    const url = `${office.peer.url}/v1/messages/batches`;
    const response = await worker.fetch(url, { method: 'POST', body: JSON.stringify(body) });
    expect(response.status).toBe(400);
    expect(office.peer.log).toEqual([]);
    expect(await worker.heldSteps()).toBe(0n);
  });
});
