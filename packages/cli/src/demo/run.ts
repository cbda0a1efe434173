import type { Balance, Charge, Purse, Report } from 'pursestrings';
import { readBalances } from '../commands/balances.ts';
import { InputError } from '../input-error.ts';
import { ledgerOption, withPurse } from '../ledger-access.ts';
import { type AgentOutcome, type Endpoint, runAgent } from './agent.ts';
import { type Death, killMidStream, leaveMidStream } from './doomed-agent.ts';
import { type DemoPlan, labelsOf } from './plan.ts';
import type { DemoProvider, ProviderBill } from './provider.ts';
import type { WeatherApi, WeatherBill } from './weather.ts';

/** Where and with whom a demo runs. */
export interface DemoSetup {
  readonly plan: DemoPlan;
  readonly provider: DemoProvider;
  readonly weather: WeatherApi | null;
  readonly store: string;
  readonly ledger: string | undefined;
  /** The ledger is open, and the agents are about to begin. */
  readonly onStart: () => void;
  readonly onCall: (calls: number) => void;
  /** The agents are done; what is left is to wait for the dead one's hold. */
  readonly onWait: () => void;
}

/** Everything that a run of the demo found out. */
export interface DemoFacts {
  readonly outcomes: readonly AgentOutcome[];
  readonly death: Death;
  /** What the ledger recorded for the killed agent. */
  readonly deathCharge: Charge | null;
  readonly report: Report;
  readonly balances: readonly Balance[];
  readonly overruns: number;
  readonly bill: ProviderBill | null;
  /** What was bought from the weather API, by the ledger and by its own account. */
  readonly weather: WeatherFacts | null;
  readonly verify: Awaited<ReturnType<Purse['verify']>>;
}

/** Forecasts that were paid for. */
export interface WeatherFacts {
  readonly charges: number;
  readonly msat: number;
  readonly bill: WeatherBill;
}

/** After so long the hold of the killed agent should have expired several times over. */
const MAX_EXPIRY_WAIT_MS = 10_000;

/** Lets all agents loose at once, kills one, and reads what the ledger and the provider say. */
export async function runDemo(setup: DemoSetup): Promise<DemoFacts> {
  const { plan, provider, weather, store, ledger } = setup;
  return await withPurse(store, {}, ledgerOption(ledger), async (purse) => {
    await checkUnused(purse, setup);
    setup.onStart();
    for (const limit of plan.limits) await purse.setLimit(limit);
    const endpoint: Endpoint = { url: provider.url, apiKey: provider.apiKey };
    let calls = 0;
    const onCall = (): void => {
      calls += 1;
      setup.onCall(calls);
    };
    // The others begin when the doomed agent streams, else they might leave it no money to hold.
    const streaming = Promise.withResolvers<void>();
    const dying = store.startsWith('memory:')
      ? leaveMidStream(purse, plan, endpoint, streaming.resolve)
      : killMidStream({ plan, endpoint, store, ledger }, streaming.resolve);
    const working = streaming.promise.then(() =>
      Promise.all(
        plan.agents.map((name) => runAgent(purse, plan, name, endpoint, onCall, weather)),
      ),
    );
    const [death, outcomes] = await Promise.all([dying, working]);
    setup.onWait();
    await holdsResolved(purse);
    return {
      outcomes,
      death,
      deathCharge: await lastCharge(purse, plan),
      report: await purse.report({ by: ['project', 'agent'] }),
      balances: await readBalances(purse, {}),
      overruns: await countOverruns(purse),
      bill: await provider.bill(),
      weather: weather === null ? null : await weatherFacts(purse, weather.bill),
      verify: await purse.verify(),
    };
  });
}

/** The demo adds up its ledger against a bill, so nobody else may have spent from it. */
async function checkUnused(purse: Purse, { store, ledger }: DemoSetup): Promise<void> {
  const limits = await purse.limits();
  const charges = await purse.journal({ order: 'newest' })[Symbol.asyncIterator]().next();
  if (limits.length === 0 && charges.done === true) return;
  throw new InputError(
    `The ledger ${ledger ?? 'default'} of ${store} is in use; give the demo one of its own, ` +
      `such as --ledger demo-${Date.now().toString(36)}.`,
    { code: 'LEDGER_IN_USE' },
  );
}

/** A dead agent's hold is settled by nobody; it expires by itself, and counts as spent. */
async function holdsResolved(purse: Purse): Promise<void> {
  const until = Date.now() + MAX_EXPIRY_WAIT_MS;
  for (;;) {
    const balances = await readBalances(purse, { limit: 'everything' });
    if (balances.every(({ held }) => held === 0) || Date.now() > until) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function lastCharge(purse: Purse, plan: DemoPlan): Promise<Charge | null> {
  const labels = labelsOf(plan.doomed);
  for await (const charge of purse.journal({ labels, order: 'newest' })) return charge;
  return null;
}

async function weatherFacts(purse: Purse, bill: WeatherBill): Promise<WeatherFacts> {
  let charges = 0;
  let msat = 0;
  for await (const { amounts } of purse.journal()) {
    if (amounts['sats'] === undefined) continue;
    charges += 1;
    msat += Math.round(amounts['sats'] * 1000);
  }
  return { charges, msat, bill };
}

async function countOverruns(purse: Purse): Promise<number> {
  let overruns = 0;
  for await (const charge of purse.journal()) if (charge.overrun) overruns += 1;
  return overruns;
}
