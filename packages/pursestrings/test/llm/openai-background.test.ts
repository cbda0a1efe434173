import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { rejection, until } from './fixture.ts';
import { openaiBench, openOpenaiBench } from './openai-fixture.ts';
import type { OpenaiBench } from './openai-fixture.ts';
import type { PeerAnswer } from './peers/openai-peer.ts';

const ASKED = { model: 'gpt-5', max_output_tokens: 100, input: 'Think long', background: true };

/**
 * What it comes to in steps of 1e-8 USD, at $1.25, $0.125 and $10 a million:
 * https://developers.openai.com/api/docs/pricing, 2026-11-22.
 */
const ANSWER: PeerAnswer = { inputTokens: 100, cachedTokens: 80, reasoningTokens: 20, text: 'a b' };
const LITERAL = 100n * 125n + (80n * 125n) / 10n + 22n * 1_000n;

/** The store of several purses, each as it were in a process of its own. */
async function sharedStore(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'purse-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return `sqlite:${join(folder, 'purse.db')}`;
}

async function hasHeld(bench: OpenaiBench): Promise<void> {
  expect(await bench.charges()).toEqual([]);
  expect(await bench.heldSteps()).toBeGreaterThanOrEqual(100n * 1_000n);
}

describe('a response in the background', () => {
  it('holds its money, and is settled when its result is read, once', async () => {
    const bench = await openOpenaiBench({ answer: () => ANSWER });
    const begun = await bench.openai.responses.create(ASKED);
    expect(begun.status).toBe('queued');
    await hasHeld(bench);
    const early = await bench.openai.responses.retrieve(begun.id);
    expect(early.status).toBe('queued');
    await hasHeld(bench);
    bench.peer.finish(begun.id);
    await bench.openai.responses.retrieve(begun.id);
    await bench.openai.responses.retrieve(begun.id);
    expect(bench.peer.steps).toBe(LITERAL);
    expect(await bench.spentSteps()).toBe(LITERAL);
    expect(await bench.charges()).toHaveLength(1);
    expect(await bench.heldSteps()).toBe(0n);
    const [charge] = await bench.charges();
    expect(charge?.labels).toMatchObject({ provider: 'openai', model: 'gpt-5' });
  });

  it('is settled by the purse of another process', async () => {
    const store = await sharedStore();
    const bench = await openOpenaiBench({ store, answer: () => ANSWER });
    const begun = await bench.openai.responses.create(ASKED);
    const other = await openaiBench(bench.peer, { store });
    bench.peer.finish(begun.id);
    const result = await other.openai.responses.retrieve(begun.id);
    expect(result.status).toBe('completed');
    expect(await bench.spentSteps()).toBe(LITERAL);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('is settled by a result that is streamed', async () => {
    const bench = await openOpenaiBench({ answer: () => ANSWER });
    const begun = await bench.openai.responses.create(ASKED);
    bench.peer.finish(begun.id);
    const stream = await bench.openai.responses.retrieve(begun.id, { stream: true });
    for await (const event of stream) expect(event.type).toBe('response.completed');
    expect(await bench.spentSteps()).toBe(LITERAL);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('goes on when its stream is cut, and when it is left', async () => {
    const bench = await openOpenaiBench({ answer: () => ANSWER });
    const cut = await bench.openai.responses.create({ ...ASKED, stream: true });
    let id = '';
    const error = await rejection(
      (async () => {
        for await (const event of cut) if ('response' in event) id = event.response.id;
      })(),
    );
    expect(error).toBeInstanceOf(Error);
    await hasHeld(bench);
    const left = await bench.openai.responses.create({ ...ASKED, stream: true });
    let leftId = '';
    for await (const event of left) {
      if ('response' in event) leftId = event.response.id;
      break;
    }
    for (const each of [id, leftId]) {
      bench.peer.finish(each);
      await until(async () => {
        await bench.openai.responses.retrieve(each);
        return (await bench.purse.hold(each)) === null;
      });
    }
    await until(async () => (await bench.charges()).length === 2);
    expect(await bench.spentSteps()).toBe(2n * LITERAL);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('costs nothing when it failed uncounted, and all of its hold when it was cancelled', async () => {
    const bench = await openOpenaiBench({ answer: () => ANSWER });
    const failed = await bench.openai.responses.create(ASKED);
    bench.peer.finish(failed.id, 'failed');
    await bench.openai.responses.retrieve(failed.id);
    expect(await bench.charges()).toEqual([]);
    expect(await bench.heldSteps()).toBe(0n);
    const begun = await bench.openai.responses.create(ASKED);
    const held = await bench.heldSteps();
    const cancelled = await bench.openai.responses.cancel(begun.id);
    expect(cancelled.status).toBe('cancelled');
    expect(await bench.spentSteps()).toBe(held);
    expect(await bench.heldSteps()).toBe(0n);
  });

  it('is priced by the name that it was asked for under', async () => {
    const prices = { mine: { usdPerMillion: { input: 3, output: 7 }, contextWindow: 9_000 } };
    const answer = (): PeerAnswer => ({ inputTokens: 10, text: 'a' });
    const bench = await openOpenaiBench({ meter: { prices }, answer });
    const begun = await bench.openai.responses.create({ ...ASKED, model: 'mine' });
    // The peer does not sell it, so what it used is written here.
    const usage = { input_tokens: 10, output_tokens: 4, total_tokens: 14 };
    const response = { object: 'response', id: begun.id, status: 'completed', usage };
    const { meteredFetch } = await import('../../src/llm/index.ts');
    const metered = meteredFetch(bench.purse, {
      prices,
      fetch: () => Promise.resolve(Response.json({ ...response, model: 'mine-2026-01-01' })),
    });
    await metered(`${bench.peer.url}/responses/${begun.id}`);
    expect(await bench.spentSteps()).toBe(10n * 300n + 4n * 700n);
  });
});
