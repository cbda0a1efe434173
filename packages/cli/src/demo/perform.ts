import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { formatCount } from '../format.ts';
import type { LedgerOptions } from '../ledger-access.ts';
import { checkUrl } from '../store-path.ts';
import { printJson, type Terminal } from '../terminal.ts';
import { printFacts, printNext, printOpening } from './answer.ts';
import { judge, type Verdict } from './judge.ts';
import { livePlan, loopbackPlan } from './plan.ts';
import { liveProvider, startLoopback } from './provider.ts';
import { type DemoFacts, runDemo } from './run.ts';
import { startWeather } from './weather.ts';

/** The options of `purse demo`. */
export interface DemoOptions extends LedgerOptions {
  readonly live?: true;
}

/** Runs the demo and prints what it came to; true when the promise held. */
export async function performDemo(options: DemoOptions, terminal: Terminal): Promise<boolean> {
  const quiet = options.json === true;
  const plan = options.live ? livePlan() : loopbackPlan();
  const config = options.config === undefined ? null : readConfig(options.config);
  const store = options.store ?? config?.store ?? temporaryStore();
  const ledger = options.ledger ?? config?.ledger;
  checkUrl(store);
  const provider = options.live ? liveProvider() : await startLoopback(plan);
  const weather = plan.buysWeather ? await startWeather() : null;
  try {
    const facts = await runDemo({
      plan,
      provider,
      weather,
      store,
      ledger,
      onStart: () => {
        if (!quiet) printOpening(terminal, plan, provider.name);
      },
      onCall: (calls) => terminal.progress(`${formatCount(calls)} calls`),
      onWait: () => terminal.progress('Waiting for the hold of the killed agent to expire'),
    });
    terminal.progress('');
    const verdict = judge(facts);
    if (quiet) printJson(terminal, jsonOf(facts, verdict));
    else {
      printFacts(terminal, plan, facts, verdict);
      printNext(terminal, placeText(store, ledger));
    }
    return verdict.ok;
  } finally {
    terminal.progress('');
    await weather?.close();
    await provider.close();
  }
}

function temporaryStore(): string {
  return `sqlite:${join(mkdtempSync(join(tmpdir(), 'pursestrings-')), 'purse.db')}`;
}

/** The options that name the demo's ledger; `null` when it is gone with this process. */
function placeText(store: string, ledger: string | undefined): string | null {
  if (store.startsWith('memory:')) return null;
  return `--store ${store}${ledger === undefined ? '' : ` --ledger ${ledger}`}`;
}

function jsonOf(facts: DemoFacts, verdict: Verdict): object {
  const { outcomes, death, report, balances, bill, weather, verify } = facts;
  return { ...verdict, agents: outcomes, death, report, balances, bill, weather, verify };
}
