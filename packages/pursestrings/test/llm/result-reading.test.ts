import { describe, expect, it, onTestFinished } from 'vitest';

import type { Charge } from '../../src/charge.ts';
import { meteredFetch } from '../../src/llm/index.ts';
import type { MeterOptions } from '../../src/llm/index.ts';
import { openPurse } from '../../src/purse.ts';

const BATCHES = 'https://api.anthropic.com/v1/messages/batches';
const MODEL = 'claude-haiku-4-5';

function resultLine(usage: object): string {
  const message = { type: 'message', model: MODEL, usage };
  return JSON.stringify({ custom_id: 'a', result: { type: 'succeeded', message } });
}

/** Begins a batch, then reads this as its results: gives what the reader got, and the charges. */
async function readResult(
  lines: string,
  meter: MeterOptions = {},
  contentType = 'application/x-jsonl',
): Promise<{ text: string; charges: Charge[] }> {
  const purse = await openPurse({ limits: [{ name: 'all', cap: { usd: 10 } }] });
  onTestFinished(() => purse.close());
  const fetch = meteredFetch(purse, {
    ...meter,
    fetch: (_url, init) =>
      Promise.resolve(
        init?.method === 'POST'
          ? Response.json({ type: 'message_batch', id: 'msgbatch_1' })
          : new Response(lines, { headers: { 'content-type': contentType } }),
      ),
  });
  const params = { model: MODEL, max_tokens: 100, messages: [{ role: 'user', content: 'x' }] };
  const body = JSON.stringify({ requests: [{ custom_id: 'a', params }] });
  await fetch(BATCHES, { method: 'POST', body });
  const text = await (await fetch(`${BATCHES}/msgbatch_1/results`)).text();
  const charges: Charge[] = [];
  for await (const charge of purse.journal()) charges.push(charge);
  return { text, charges };
}

describe('the result of work', () => {
  const line = resultLine({ input_tokens: 1_000, output_tokens: 100 });

  it.each(['application/x-jsonl', 'binary/octet-stream', 'text/plain', 'Application/X-JSONL', ''])(
    'is read by its lines, whatever its type: %j',
    async (contentType) => {
      const { text, charges } = await readResult(`${line}\n`, {}, contentType);
      expect(text).toBe(`${line}\n`);
      // Half of USD 1 and 5 a million: https://platform.claude.com/docs/en/pricing, 2026-11-22.
      expect(charges.map(({ amounts }) => amounts.usd)).toEqual([0.00075]);
    },
  );

  it('is charged as it was held where it says more than can be recorded', async () => {
    const most = Number.MAX_SAFE_INTEGER;
    const { charges } = await readResult(resultLine({ input_tokens: most, output_tokens: 1 }));
    expect(charges).toHaveLength(1);
    expect(charges[0]?.amounts).toEqual(charges[0]?.held);
  });

  it('is passed on, and charged as it was held, where `prices` throws', async () => {
    let asked = 0;
    const { text, charges } = await readResult(`${line}\n`, {
      prices: () => {
        asked += 1;
        // Once as it is set up, and for the batch and its request; then for the result.
        if (asked <= 3) return {};
        throw new Error('The price file is gone');
      },
    });
    expect(asked).toBe(4);
    expect(text).toBe(`${line}\n`);
    expect(charges).toHaveLength(1);
    expect(charges[0]?.amounts).toEqual(charges[0]?.held);
  });
});
