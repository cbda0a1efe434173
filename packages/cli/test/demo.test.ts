import { join } from 'node:path';
import { loopbackProvider } from 'pursestrings/testing';
import { describe, expect, test } from 'vitest';
import { purse, purseJson, temporaryDirectory } from './purse-process.ts';

interface DemoJson {
  readonly ok: boolean;
  readonly noCapPassed: boolean;
  readonly billCovered: boolean;
  readonly addsUp: boolean;
  readonly difference: number;
  readonly deathHold: number;
  readonly agents: readonly {
    agent: string;
    calls: number;
    streamed: number;
    bought: number;
    refused: boolean;
    stoppedBy: string;
  }[];
  readonly death: { readonly pid: number | null; readonly pieces: number };
  readonly report: { readonly total: Record<string, number> };
  readonly balances: readonly { limit: string; spent: number; held: number; cap: number }[];
  readonly bill: { readonly requests: number; readonly usd: string };
  readonly weather: {
    readonly charges: number;
    readonly msat: number;
    readonly bill: {
      readonly payments: number;
      readonly amountMsat: number;
      readonly feeMsat: number;
    };
  };
  readonly verify: { readonly ok: boolean; readonly charges: number };
}

/** What a ledger may show beside the bill, from the facts that the demo prints. */
function checkPromise(demo: DemoJson): void {
  expect(demo).toMatchObject({ ok: true, noCapPassed: true, billCovered: true, addsUp: true });
  const difference = Math.round(((demo.report.total['usd'] ?? 0) - Number(demo.bill.usd)) * 1e8);
  expect(difference).toBe(Math.round(demo.difference * 1e8));
  expect(difference).toBeGreaterThanOrEqual(0);
  expect(difference).toBeLessThanOrEqual(Math.round(demo.deathHold * 1e8));
  expect(demo.deathHold).toBeGreaterThan(0);
  const { charges, msat, bill } = demo.weather;
  expect(demo.verify.charges).toBe(demo.bill.requests + bill.payments);
  expect(charges).toBe(bill.payments);
  expect(charges).toBeGreaterThan(0);
  expect(msat).toBe(bill.amountMsat + bill.feeMsat);
  expect(Math.round((demo.report.total['sats'] ?? 0) * 1000)).toBe(msat);
  expect(demo.agents.reduce((sum, { bought }) => sum + bought, 0)).toBe(charges);
  expect(demo.agents.some(({ refused }) => refused)).toBe(true);
  for (const { spent, held, cap } of demo.balances) {
    expect(Math.round((spent + held) * 1e8)).toBeLessThanOrEqual(Math.round(cap * 1e8));
  }
  expect(demo.agents).toHaveLength(19);
  expect(demo.agents.every(({ calls, stoppedBy }) => calls > 0 && stoppedBy !== null)).toBe(true);
  expect(demo.agents.some(({ streamed }) => streamed > 0)).toBe(true);
}

describe('purse demo', () => {
  test('keeps the promise with a killed process, and leaves a ledger that adds up', async () => {
    const store = `sqlite:${join(temporaryDirectory(), 'demo.db')}`;
    const demo = await purseJson<DemoJson>(['demo', '--store', store]);
    checkPromise(demo);
    expect(demo.death.pid).not.toBeNull();
    expect(demo.death.pieces).toBeGreaterThan(0);
    const verified = await purseJson(['verify', '--store', store]);
    expect(verified).toEqual(demo.verify);
    const again = await purse(['demo', '--store', store]);
    expect(again.status).toBe(2);
    expect(again.stderr).toContain('is in use');
  });

  test('keeps it on a memory store, where the agent drops its connection', async () => {
    const demo = await purseJson<DemoJson>(['demo', '--store', 'memory:']);
    checkPromise(demo);
    expect(demo.death.pid).toBeNull();
  });

  test('shows the ledger beside the bill, and says what to do next', async () => {
    const { status, stdout, stderr } = await purse(['demo'], {
      env: { TMPDIR: temporaryDirectory() },
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toContain('agent-20');
    expect(stdout).toContain("the provider's bill");
    expect(stdout).toContain("the weather API's bill");
    expect(stdout).toMatch(/✓ Every millisatoshi of \d+ forecasts/);
    expect(stdout).toMatch(/✓ No cap was passed/);
    expect(stdout).toContain('purse report --store sqlite:');
  });

  test('goes live to the provider that the SDK is told of, under a cap of its own', async () => {
    const provider = await loopbackProvider({
      ratesUsdPerMillion: { input: 0.15, output: 0.6 },
      answer: () => ({ content: 'word '.repeat(100), chunkDelayMs: 5 }),
    });
    try {
      const store = `sqlite:${join(temporaryDirectory(), 'live.db')}`;
      const { status, stdout, stderr } = await purse(
        ['demo', '--live', '--store', store, '--json'],
        {
          env: { OPENAI_API_KEY: 'key-of-a-test', OPENAI_BASE_URL: provider.url },
        },
      );
      expect(stderr).toBe('');
      expect(status).toBe(0);
      const demo = JSON.parse(stdout) as DemoJson;
      expect(demo).toMatchObject({ ok: true, bill: null, difference: null });
      expect(demo.agents.map(({ calls }) => calls)).toEqual([3, 3, 3]);
      expect(provider.requests).toBe(10);
    } finally {
      await provider.close();
    }
  });

  test('needs a key to go live', async () => {
    const ended = await purse(['demo', '--live'], { env: { OPENAI_API_KEY: '' } });
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain('OPENAI_API_KEY');
  });
});
