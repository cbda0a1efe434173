/** One lifecycle: hold and settle. `turn` counts the lifecycles started so far. */
export type Lifecycle = (turn: number) => Promise<unknown>;

/** Runs lifecycles for a while, so many at a time, and answers how many finished in a second. */
export async function throughput(
  lifecycle: Lifecycle,
  inFlight: number,
  durationMs: number,
): Promise<number> {
  let turn = 0;
  let finished = 0;
  const startMs = performance.now();
  const endMs = startMs + durationMs;
  const worker = async (): Promise<void> => {
    while (performance.now() < endMs) {
      turn += 1;
      await lifecycle(turn);
      finished += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (finished / (performance.now() - startMs)) * 1000;
}

/** One side of a comparison: made afresh for each round, so that neither grows old. */
export interface Contender {
  readonly name: string;
  open(): Promise<{ readonly lifecycle: Lifecycle; close(): Promise<void> }>;
}

/** What a comparison came to: medians over the rounds, and the median of the rounds' ratios. */
export interface Comparison {
  readonly ours: number;
  readonly raw: number;
  readonly ratio: number;
}

/** Runs two contenders in turn, round by round, so that a machine that drifts harms both alike. */
export async function compare(
  ours: Contender,
  raw: Contender,
  settings: { readonly inFlight: number; readonly rounds: number; readonly durationMs: number },
): Promise<Comparison> {
  const results: { ours: number; raw: number }[] = [];
  for (let round = 0; round < settings.rounds + 1; round += 1) {
    const result = { ours: await once(ours, settings), raw: await once(raw, settings) };
    if (round > 0) results.push(result);
  }
  return {
    ours: median(results.map((result) => result.ours)),
    raw: median(results.map((result) => result.raw)),
    ratio: median(results.map((result) => result.ours / result.raw)),
  };
}

/** The middle one of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? upper) + upper) / 2 : upper;
}

/** Prints one line: what was compared, both figures, the ratio, and what it has to reach. */
export function printRatio(title: string, { ours, raw, ratio }: Comparison, aim: number): void {
  const verdict = ratio >= aim ? 'reached' : 'MISSED';
  console.log(
    `${title.padEnd(52)} ${figure(ours)} /s, raw ${figure(raw)} /s, ratio ${ratio.toFixed(2)} ` +
      `(at least ${aim}: ${verdict})`,
  );
}

function figure(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en-US').padStart(9);
}

async function once(
  contender: Contender,
  settings: { readonly inFlight: number; readonly durationMs: number },
): Promise<number> {
  const { lifecycle, close } = await contender.open();
  try {
    return await throughput(lifecycle, settings.inFlight, settings.durationMs);
  } finally {
    await close();
  }
}
