/**
 * A purse in a process of its own: `purse-process.ts <backend> <url> <ledger>`. It does what each line of JSON
 * on standard input asks, one after another, and answers with a line.
 */
import { createInterface } from 'node:readline';
import { type Hold, type Limit, openPurse, type Purse } from '../../src/index.ts';
import { BACKENDS } from './backends.ts';

/** What a purse in another process can be asked. */
export type Request =
  | { readonly do: 'clock'; readonly errorMs: number }
  | {
      readonly do: 'reserve';
      readonly usd: number;
      readonly agent?: string;
      readonly ttlMs?: number;
    }
  | { readonly do: 'take'; readonly id: string }
  | { readonly do: 'settle' | 'release' | 'untilAborted' | 'remaining'; readonly id: string }
  | { readonly do: 'setLimit'; readonly limit: Limit }
  | { readonly do: 'removeLimit'; readonly name: string }
  | { readonly do: 'freeze' | 'unfreeze'; readonly agent: string }
  | { readonly do: 'health' };

/** What it answers. */
export type Answer = Readonly<Record<string, unknown>>;

const [name = '', url = '', ledger = ''] = process.argv.slice(2);
const backend = BACKENDS.find((one) => one.name === name);
if (backend === undefined) throw new Error(`no backend is called ${name}`);
const { store, end } = await backend.open(url, ledger);
const purse = await openPurse({ store });
const holds = new Map<string, Hold>();

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await answerTo(purse, JSON.parse(line) as Request);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await purse.close();
await end();

async function answerTo(spender: Purse, request: Request): Promise<Answer> {
  switch (request.do) {
    case 'clock': {
      const { setClockError } = globalThis as unknown as { setClockError(ms: number): void };
      setClockError(request.errorMs);
      return { now: Date.now(), same: new Date().getTime() - Date.now() };
    }
    case 'reserve': {
      const { usd, agent = 'a', ttlMs = 60_000 } = request;
      const reserved = await spender.tryReserve({ usd }, { agent }, { ttlMs });
      if (!reserved.ok) return { ok: false, ...reserved.denial };
      return kept(reserved.hold);
    }
    case 'take': {
      const hold = await spender.hold(request.id);
      return hold === null ? { ok: false } : kept(hold);
    }
    case 'setLimit':
      await spender.setLimit(request.limit);
      return {};
    case 'removeLimit':
      await spender.removeLimit(request.name);
      return {};
    case 'freeze':
    case 'unfreeze':
      await spender[request.do]({ agent: request.agent });
      return {};
    case 'health':
      return { ...(await spender.health()) };
    default:
      return ofHold(request.do, request.id);
  }
}

function kept(hold: Hold): Answer {
  holds.set(hold.id, hold);
  const { id, expiresAt } = hold;
  return { ok: true, id, expiresAt, remainingMs: hold.remainingMs(), aborted: hold.signal.aborted };
}

async function ofHold(
  what: 'settle' | 'release' | 'untilAborted' | 'remaining',
  id: string,
): Promise<Answer> {
  const hold = holds.get(id);
  if (hold === undefined) throw new Error(`hold ${id} is not held here`);
  const { signal } = hold;
  switch (what) {
    case 'settle':
      return { ...(await hold.settle()) };
    case 'release':
      await hold.release();
      return {};
    case 'remaining':
      return { remainingMs: hold.remainingMs(), aborted: signal.aborted };
    case 'untilAborted':
      // A hold's signal keeps no process alive; reading standard input does.
      if (!signal.aborted)
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return { reason: (signal.reason as { code?: string }).code };
  }
}
