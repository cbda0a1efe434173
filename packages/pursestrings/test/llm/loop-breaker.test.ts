import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { withLabels } from '../../src/ambient-labels.ts';
import { InvalidLabelError, InvalidOptionError, PurseError } from '../../src/ledger/invalid.ts';
import { LoopBreaker, LoopDetectedError } from '../../src/llm/loop-breaker.ts';
import type { LoopBreakerOptions, LoopEntry } from '../../src/llm/loop-breaker.ts';

const LABELS = { agent: 'a1' };
const START_MS: number = Date.UTC(2026, 10, 22);

interface Bench {
  readonly breaker: LoopBreaker;
  nowMs: number;
  /** Tries the request; what refused it, or null. */
  try(request?: string, labels?: Record<string, string>): LoopDetectedError | null;
}

function open(options: LoopBreakerOptions): Bench {
  let nowMs = START_MS;
  const bench: Bench = {
    breaker: new LoopBreaker(options, () => nowMs),
    get nowMs() {
      return nowMs;
    },
    set nowMs(timeMs) {
      nowMs = timeMs;
    },
    try: (request = 'POST https://api.example.com/v1 {}', labels = LABELS) =>
      refusalOf(() => bench.breaker.admit(labels, request)),
  };
  return bench;
}

function refusalOf(act: () => unknown): LoopDetectedError | null {
  try {
    act();
    return null;
  } catch (error) {
    if (error instanceof LoopDetectedError) return error;
    throw error;
  }
}

function fail(bench: Bench, times: number): void {
  for (let time = 0; time < times; time += 1) bench.breaker.admit(LABELS, 'request').failed();
}

describe('repeats', () => {
  it('admits as many as it is told, then says that it is a loop', () => {
    const bench = open({ repeats: 3, windowMs: 10_000 });
    for (let time = 0; time < 3; time += 1) {
      expect(bench.try()).toBeNull();
      bench.nowMs += 1_000;
    }
    const error = bench.try();
    expect(error).toMatchObject({
      name: 'LoopDetectedError',
      code: 'LOOP_DETECTED',
      retryable: false,
      repeats: 3,
      failures: undefined,
      windowMs: 10_000,
      labels: LABELS,
      retryAt: new Date(START_MS + 10_000),
    });
    expect(error?.message).toBe(
      'The same request for agent=a1 went out 3 times within 10 s, which looks like a loop, so it ' +
        'was not sent: change the request, or try again at 2026-11-22T00:00:10.000Z',
    );
    expect(PurseError.isInstance(error)).toBe(true);
  });

  it('slides: each try counts until it is a window old, and refused ones never', () => {
    const bench = open({ repeats: 2, windowMs: 100 });
    bench.try();
    bench.nowMs += 60;
    bench.try();
    bench.nowMs += 39;
    expect(bench.try()?.retryAt).toEqual(new Date(START_MS + 100));
    bench.nowMs += 1;
    expect(bench.try()).toBeNull();
    expect(bench.try()?.retryAt).toEqual(new Date(START_MS + 160));
    bench.nowMs += 60;
    expect(bench.try()).toBeNull();
    expect(bench.try()).not.toBeNull();
  });

  it('tells requests and labels apart, whatever is written in them', () => {
    const bench = open({ repeats: 1 });
    expect(bench.try('a')).toBeNull();
    expect(bench.try('b')).toBeNull();
    expect(bench.try('a', {})).toBeNull();
    expect(bench.try('a', { agent: 'a2' })).toBeNull();
    expect(bench.try('x\na', { agent: 'a1' })).toBeNull();
    expect(bench.try('a', { agent: 'a1\nx' })).toBeNull();
    expect(bench.try('a', { task: 't', agent: 'a1' })).toBeNull();
    expect(bench.try('a', { agent: 'a1', task: 't' })).not.toBeNull();
    expect(bench.try('a', LABELS)).not.toBeNull();
  });

  it('counts the labels around as those given', () => {
    const bench = open({ repeats: 1 });
    expect(withLabels(LABELS, () => bench.try('a', {}))).toBeNull();
    expect(bench.try('a', LABELS)?.labels).toEqual(LABELS);
    expect(bench.try('a', {})).toBeNull();
  });

  it('counts the same whether tries fail or not', () => {
    const bench = open({ repeats: 2 });
    bench.breaker.admit({}, 'a').succeeded();
    bench.breaker.admit({}, 'a').failed();
    expect(bench.try('a', {})).not.toBeNull();
  });

  it('does not count a try that did not go out after all', () => {
    const bench = open({ repeats: 2, windowMs: 100 });
    bench.try('a');
    bench.nowMs += 10;
    const entry = bench.breaker.admit(LABELS, 'a');
    expect(bench.try('a')).not.toBeNull();
    entry.withdrawn();
    entry.withdrawn();
    expect(bench.try('a')).toBeNull();
    expect(bench.try('a')?.retryAt).toEqual(new Date(START_MS + 100));
  });

  it('agrees with a list of all tries', () => {
    const step = fc.record({ pauseMs: fc.nat({ max: 30 }), withdrawn: fc.boolean() });
    const steps = fc.array(step, { maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 5 }), (steps, repeats) => {
        const bench = open({ repeats, windowMs: 50 });
        const admitted: number[] = [];
        for (const { pauseMs, withdrawn } of steps) {
          bench.nowMs += pauseMs;
          const recent = admitted.filter((timeMs) => timeMs > bench.nowMs - 50);
          const admit = () => bench.breaker.admit(LABELS, 'a');
          if (recent.length >= repeats) {
            expect(refusalOf(admit)?.retryAt.getTime()).toBe((recent.at(-repeats) ?? 0) + 50);
          } else if (withdrawn) admit().withdrawn();
          else {
            admit();
            admitted.push(bench.nowMs);
          }
        }
      }),
    );
  });
});

describe('failures', () => {
  it('stops a request that failed so often in a row', () => {
    const bench = open({ failures: 3, windowMs: 1_000 });
    fail(bench, 3);
    expect(bench.try('request')).toMatchObject({
      repeats: undefined,
      failures: 3,
      retryAt: new Date(START_MS + 1_000),
    });
    expect(bench.try('request')?.message).toContain('failed 3 times in a row within 1 s');
    expect(bench.try('another')).toBeNull();
  });

  it('begins again after a success', () => {
    const bench = open({ failures: 2 });
    fail(bench, 1);
    bench.breaker.admit(LABELS, 'request').succeeded();
    fail(bench, 1);
    expect(bench.try('request')).toBeNull();
    fail(bench, 1);
    expect(bench.try('request')).not.toBeNull();
  });

  it('lets one more try out when the oldest failure is a window old', () => {
    const bench = open({ failures: 2, windowMs: 100 });
    fail(bench, 1);
    bench.nowMs += 50;
    fail(bench, 1);
    bench.nowMs += 50;
    fail(bench, 1);
    expect(bench.try('request')?.retryAt).toEqual(new Date(START_MS + 150));
  });

  it('counts a failure when it happens, not when the try began', () => {
    const bench = open({ failures: 1, windowMs: 100 });
    const slow = bench.breaker.admit(LABELS, 'request');
    bench.nowMs += 500;
    slow.failed();
    expect(bench.try('request')?.retryAt).toEqual(new Date(START_MS + 600));
  });

  it('takes one outcome of each try', () => {
    const bench = open({ failures: 2 });
    const entry = bench.breaker.admit(LABELS, 'request');
    entry.failed();
    entry.failed();
    entry.succeeded();
    expect(bench.try('request')).toBeNull();
    fail(bench, 1);
    expect(bench.try('request')).not.toBeNull();
  });

  it('knows both bounds, and names when both have room', () => {
    const bench = open({ repeats: 3, failures: 2, windowMs: 100 });
    bench.try('request');
    bench.nowMs += 30;
    fail(bench, 2);
    const error = bench.try('request');
    expect(error).toMatchObject({ repeats: 3, retryAt: new Date(START_MS + 130) });
    bench.nowMs += 70;
    expect(bench.try('request')).toMatchObject({ repeats: undefined, failures: 2 });
    bench.nowMs += 30;
    expect(bench.try('request')).toBeNull();
  });
});

describe('its clock and its memory', () => {
  it('stands still while a clock is set back, and goes on from there', () => {
    const bench = open({ repeats: 1, windowMs: 1_000 });
    bench.try();
    bench.nowMs -= 3_600_000;
    expect(bench.try()?.retryAt).toEqual(new Date(bench.nowMs + 1_000));
    bench.nowMs += 999;
    expect(bench.try()).not.toBeNull();
    bench.nowMs += 1;
    expect(bench.try()).toBeNull();
  });

  it('goes by the time of this process unless told otherwise', () => {
    const breaker = new LoopBreaker({ repeats: 1, windowMs: 604_800_000 });
    const beforeMs = Date.now();
    breaker.admit({}, 'a');
    const error = refusalOf(() => breaker.admit({}, 'a'));
    const waitMs = (error?.retryAt.getTime() ?? 0) - beforeMs;
    expect(waitMs).toBeGreaterThan(604_790_000);
    expect(waitMs).toBeLessThan(604_810_000);
  });

  it('remembers 10,000 requests, and of more forgets the one that was quiet longest', () => {
    const bench = open({ repeats: 1 });
    for (let index = 0; index < 10_000; index += 1) bench.try(`request ${index}`);
    expect(bench.try('request 0')).not.toBeNull();
    expect(bench.try('one more')).toBeNull();
    expect(bench.try('request 0')).not.toBeNull();
    expect(bench.try('request 2')).not.toBeNull();
    expect(bench.try('request 1')).toBeNull();
  });

  it('hears of a try whose request it has forgotten', () => {
    const bench = open({ failures: 1 });
    const entry: LoopEntry = bench.breaker.admit({}, 'first');
    for (let index = 0; index < 10_000; index += 1) bench.try(`request ${index}`);
    expect(() => entry.failed()).not.toThrow();
    expect(bench.try('first', {})).toBeNull();
  });
});

describe('options', () => {
  it.each<LoopBreakerOptions>([
    {},
    { windowMs: 5 },
    { repeats: 0 },
    { repeats: 1.5 },
    { repeats: Number.NaN },
    { repeats: 1_001 },
    { failures: -1 },
    { failures: '3' as never },
    { repeats: 1, windowMs: 0 },
    { repeats: 1, windowMs: Number.POSITIVE_INFINITY },
    { repeats: 1, windowMs: 604_800_001 },
  ])('refuses %o', (options) => {
    expect(() => new LoopBreaker(options)).toThrow(InvalidOptionError);
  });

  it('refuses labels that no spend could carry', () => {
    const { breaker } = open({ repeats: 1 });
    expect(() => breaker.admit({ agent: 5 as never }, 'a')).toThrow(InvalidLabelError);
  });
});
