/**
 * A process that may read a ledger's file and not write it: `reader.ts <path>`. As root it becomes
 * nobody first. It says in one line of JSON what it could do.
 */
import { openPurse, StoreError } from '../../src/index.ts';
import { sqlite } from '../../src/stores/sqlite.ts';

const NOBODY = 65_534;

/** What a reader could do. */
export interface Read {
  readonly opened: string;
  readonly report?: Readonly<Record<string, number>>;
  readonly spent?: readonly number[];
  readonly journal?: readonly string[];
  readonly verified?: boolean;
  readonly charged?: string;
  readonly reserved?: string;
}

async function attempt(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    return error instanceof StoreError ? error.failure : String(error);
  }
}

async function read(path: string): Promise<Read> {
  const store = sqlite(path);
  const opened = await attempt(() => openPurse({ store }));
  if (opened !== 'done') return { opened };
  const purse = await openPurse({ store });
  return {
    opened,
    report: (await purse.report()).total,
    spent: (await Array.fromAsync(purse.balances())).map(({ spent }) => spent),
    journal: (await Array.fromAsync(purse.journal())).map(({ id }) => id),
    verified: (await purse.verify()).ok,
    charged: await attempt(() => purse.charge({ usd: 1 })),
    reserved: await attempt(() => purse.reserve({ usd: 1 })),
  };
}

if (process.getuid?.() === 0) {
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}
process.stdout.write(`${JSON.stringify(await read(process.argv[2] ?? ''))}\n`);
