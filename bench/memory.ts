/**
 * How much of what bare Maps can do is left with a purse around them?
 *
 * One lifecycle is a hold on three envelopes (one hot, one of 1,000, one of 100,000) and its
 * settle, with hold record, journal row and running totals. The raw side does the same arithmetic
 * on Maps, inlined by hand behind two async functions, with the same ids.
 */
import { openPurse, type Limit } from 'pursestrings';
import { memory } from 'pursestrings/stores/memory';
import { uuidv7 } from 'uuidv7';
import { compare, type Contender, printRatio } from './harness.ts';

const limits: readonly Limit[] = [
  { name: 'all', cap: { usd: 9_000_000 } },
  { name: 'project', cap: { usd: 9_000_000 }, per: 'day', each: ['project'] },
  { name: 'agent', cap: { usd: 9_000_000 }, per: 'day', each: ['agent'] },
];

const purseSide: Contender = {
  name: 'purse',
  open: async () => {
    const purse = await openPurse({ store: memory(), limits });
    return {
      lifecycle: async (turn) => {
        const labels = { project: `p${turn % 1000}`, agent: `a${(turn * 7919) % 100_000}` };
        const hold = await purse.reserve({ usd: 0.01 }, labels);
        await hold.settle({ usd: 0.007 });
      },
      close: () => purse.close(),
    };
  },
};

interface RawEnvelope {
  spent: number;
  held: number;
}

const CAP_STEPS = 900_000_000_000_000;

class RawLedger {
  readonly #envelopes = new Map<string, RawEnvelope>();
  readonly #holds = new Map<string, { lines: RawEnvelope[]; steps: number; labels: string }>();
  readonly #journal: { id: string; atMs: number; steps: number; labels: string }[] = [];
  readonly #totals = new Map<string, { steps: number; charges: number }>();

  async reserve(project: string, agent: string, steps: number): Promise<string> {
    const id = uuidv7();
    const lines = [
      this.#envelope('all'),
      this.#envelope(`project|2026-01-01|${project}`),
      this.#envelope(`agent|2026-01-01|${agent}`),
    ];
    for (const line of lines) {
      if (steps > CAP_STEPS - line.spent - line.held) throw new Error('denied');
    }
    for (const line of lines) line.held += steps;
    const labels = `{"agent":"${agent}","project":"${project}"}`;
    this.#holds.set(id, { lines, steps, labels });
    return id;
  }

  async settle(id: string, steps: number): Promise<void> {
    const hold = this.#holds.get(id);
    if (hold === undefined) throw new Error('no such hold');
    for (const line of hold.lines) {
      line.held -= hold.steps;
      line.spent += steps;
    }
    this.#holds.delete(id);
    const atMs = Date.now();
    this.#journal.push({ id, atMs, steps, labels: hold.labels });
    const key = `${Math.floor(atMs / 900_000)}|${hold.labels}`;
    const total = this.#totals.get(key) ?? { steps: 0, charges: 0 };
    total.steps += steps;
    total.charges += 1;
    this.#totals.set(key, total);
  }

  #envelope(key: string): RawEnvelope {
    let envelope = this.#envelopes.get(key);
    if (envelope === undefined) {
      envelope = { spent: 0, held: 0 };
      this.#envelopes.set(key, envelope);
    }
    return envelope;
  }
}

const rawSide: Contender = {
  name: 'bare Maps',
  open: async () => {
    const ledger = new RawLedger();
    return {
      lifecycle: async (turn) => {
        const id = await ledger.reserve(
          `p${turn % 1000}`,
          `a${(turn * 7919) % 100_000}`,
          1_000_000,
        );
        await ledger.settle(id, 700_000);
      },
      close: async () => undefined,
    };
  },
};

for (const inFlight of [1, 256]) {
  const result = await compare(purseSide, rawSide, { inFlight, rounds: 5, durationMs: 1500 });
  printRatio(`memory, hold + settle, 3 limits, ${inFlight} in flight`, result, 0.4);
}
