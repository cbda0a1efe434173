import type { Limit } from 'pursestrings';
import { InputError } from './input-error.ts';
import { readList, readPairs } from './options.ts';

/** The options of `purse limits set` that make one limit. */
export interface LimitOptions {
  readonly name?: string;
  readonly cap?: readonly string[];
  readonly per?: string;
  readonly from?: string;
  readonly each?: readonly string[];
  readonly where?: readonly string[];
  readonly mode?: string;
  readonly warnAt?: readonly string[];
  readonly timeZone?: string;
}

/** What a limits file looks like, for help. */
export const LIMIT_FIELDS_HELP = `
A limits file:
  limits:
    - name: everything        # unique in the ledger
      cap: { usd: 50 }        # one envelope for each unit
      per: day                # hour, day, week, month, year, total, or { every: 5h }
    - name: agent-hour
      cap: { usd: 2, calls: 500 }
      per: hour
      each: [agent]           # an envelope for each agent
      where: { team: search } # only spends with this label
      mode: soft              # warns, never denies
`;

const PERIODS = ['hour', 'day', 'week', 'month', 'year', 'total'] as const;

/**
 * Makes a limit of options; `null` when none of them is given. What a limit may say is for the
 * library to judge.
 *
 * @throws InputError when options are given but not the two that a limit cannot be without.
 */
export function limitFromOptions(options: LimitOptions): Limit | null {
  const { name, cap, per, from, each, where, mode, warnAt, timeZone } = options;
  const given = [name, cap, per, from, each, where, mode, warnAt, timeZone];
  if (given.every((value) => value === undefined)) return null;
  if (name === undefined)
    throw new InputError('A limit needs a name; add --name, such as --name day.');
  if (cap === undefined) {
    throw new InputError(
      `Limit ${JSON.stringify(name)} needs a cap; add --cap, such as --cap usd=50.`,
    );
  }
  return {
    name,
    cap: capOf(name, cap),
    ...periodOf(per, from),
    ...(each !== undefined && { each: readList('--each', each) }),
    ...(where !== undefined && { where: whereOf(where) }),
    ...(mode !== undefined && { mode: modeOf(mode) }),
    ...(warnAt !== undefined && { warnAt: fractionsOf(warnAt) }),
    ...(timeZone !== undefined && { timeZone }),
  };
}

function capOf(name: string, values: readonly string[]): Record<string, string> {
  const cap = new Map<string, string>();
  for (const [unit, amount] of readPairs('--cap', readList('--cap', values))) {
    if (cap.has(unit)) {
      throw new InputError(
        `--cap names ${unit} twice for limit ${JSON.stringify(name)}; once will do.`,
      );
    }
    cap.set(unit, amount);
  }
  return Object.fromEntries(cap);
}

function periodOf(per: string | undefined, from: string | undefined): Pick<Limit, 'per'> {
  const named = PERIODS.find((period) => period === per);
  if (from === undefined) {
    if (per === undefined) return {};
    return { per: named ?? { every: per } };
  }
  if (per !== undefined && named === undefined) return { per: { every: per, from } };
  throw new InputError(
    `--from ${from} says where a length begins; give the length too, such as --per 5h.`,
  );
}

function whereOf(values: readonly string[]): Record<string, string | readonly string[]> {
  const where = new Map<string, string[]>();
  for (const [label, value] of readPairs('--where', values)) {
    where.set(label, [...(where.get(label) ?? []), value]);
  }
  const single = (list: readonly string[]): string | readonly string[] =>
    list.length === 1 ? (list[0] ?? '') : list;
  return Object.fromEntries([...where].map(([label, list]) => [label, single(list)]));
}

function modeOf(mode: string): 'hard' | 'soft' {
  if (mode === 'hard' || mode === 'soft') return mode;
  throw new InputError(`--mode is ${JSON.stringify(mode)}; write hard or soft.`);
}

function fractionsOf(values: readonly string[]): readonly number[] {
  return readList('--warn-at', values).map((text) => {
    const fraction = Number(text);
    if (fraction > 0) return fraction;
    throw new InputError(`--warn-at is ${JSON.stringify(text)}; write fractions such as 0.5,0.9.`);
  });
}
