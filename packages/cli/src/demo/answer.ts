import type { Balance, ReportRow } from 'pursestrings';
import { drawBar, formatPercent } from '../bars.ts';
import { formatAmount, formatCount, formatLabels } from '../format.ts';
import { drawTable, numbers } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import type { AgentOutcome } from './agent.ts';
import { modelCharges, type Verdict } from './judge.ts';
import type { DemoPlan } from './plan.ts';
import type { DemoFacts, WeatherFacts } from './run.ts';

const BAR_WIDTH = 20;

/** Says what is about to happen. */
export function printOpening(terminal: Terminal, plan: DemoPlan, provider: string): void {
  const count = plan.agents.length + 1;
  const projects = new Set(plan.agents.map(({ project }) => project)).size;
  terminal.print(terminal.paint('bold', `${count} agents, one purse, ${provider}`));
  terminal.print(
    `\nThe agents use the official openai SDK, all at once, whole and streamed answers in turn.\n` +
      'Each call is held before it goes out and settled on what it really used, under limits:\n',
  );
  if (plan.buysWeather) {
    terminal.print(
      'Now and then they buy a forecast from an API that asks for money over Lightning (L402).\n',
    );
  }
  const scope: Readonly<Record<string, string>> = {
    '': 'all agents together',
    project: `each of ${projects} projects`,
    agent: `each of ${count} agents`,
  };
  const rows = plan.limits.map(({ name, cap, each = [] }) => [
    name,
    cap['sats'] === undefined ? `$${cap['usd'] ?? 0}` : `${cap['sats']} sats`,
    scope[each.join()] ?? '',
  ]);
  const columns = [{ title: 'limit' }, numbers('cap'), { title: 'for' }];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

/** Prints what came of it: the agents, the caps, the bill beside the ledger, and the verdict. */
export function printFacts(
  terminal: Terminal,
  plan: DemoPlan,
  facts: DemoFacts,
  verdict: Verdict,
): void {
  printAgents(terminal, plan, facts);
  printCaps(terminal, facts.balances);
  printBill(terminal, facts, verdict);
  printDeath(terminal, plan, facts, verdict);
  printVerdict(terminal, facts, verdict);
}

function printAgents(terminal: Terminal, plan: DemoPlan, facts: DemoFacts): void {
  const balances = new Map(
    facts.balances
      .filter(({ limit }) => limit === 'agent')
      .map((balance) => [balance.labels['agent'] ?? '', balance]),
  );
  const ends = new Map(facts.outcomes.map((outcome) => [outcome.agent, outcome]));
  const rows = facts.report.rows.map((row) => {
    const agent = row.labels['agent'] ?? '';
    const end = ends.get(agent);
    const fraction = balances.get(agent)?.fraction ?? 0;
    const ending =
      end === undefined && agent === plan.doomed.agent
        ? terminal.paint('red', 'killed in mid-stream')
        : end?.stoppedBy === null || end === undefined
          ? 'done'
          : `stopped by ${end.stoppedBy}`;
    return [
      row.labels['project'] ?? '',
      agent,
      formatCount(end?.calls ?? row.charges),
      formatCount(end?.streamed ?? 1),
      usdOf(row),
      ...(plan.buysWeather ? [forecastsOf(end)] : []),
      `${drawBar(terminal, fraction, BAR_WIDTH)} ${formatPercent(fraction)}`,
      ending,
    ];
  });
  const columns = [
    { title: 'project' },
    { title: 'agent' },
    ...['calls', 'streamed', 'spent'].map(numbers),
    ...(plan.buysWeather ? [numbers('forecasts')] : []),
    { title: 'of its cap' },
    { title: 'how it ended' },
  ];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

function printCaps(terminal: Terminal, balances: readonly Balance[]): void {
  const rows = balances
    .filter(({ limit }) => limit !== 'agent')
    .map((balance) => [
      balance.limit,
      formatLabels(balance.labels) || 'all agents',
      formatAmount(balance.unit, balance.spent),
      formatAmount(balance.unit, balance.cap),
      `${drawBar(terminal, balance.fraction, BAR_WIDTH)} ${formatPercent(balance.fraction)}`,
    ]);
  const columns = [
    { title: 'limit' },
    { title: 'for' },
    ...['spent', 'cap'].map(numbers),
    { title: 'used' },
  ];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

function printBill(terminal: Terminal, facts: DemoFacts, verdict: Verdict): void {
  const { report, bill, weather } = facts;
  const charges = modelCharges(facts);
  const { usd = 0, tokens } = report.total;
  const row = (
    name: string,
    calls: number,
    count: number | undefined,
    amount: number,
  ): string[] => [
    name,
    formatCount(calls),
    count === undefined ? '' : formatCount(count),
    formatAmount('usd', amount),
  ];
  const rows = [row('the ledger', charges, tokens, usd)];
  if (bill !== null) {
    const billed = bill.promptTokens + bill.completionTokens;
    rows.push(row("the provider's bill", bill.requests, billed, Number(bill.usd)));
    const more = tokens === undefined ? undefined : tokens - billed;
    rows.push(row('difference', charges - bill.requests, more, verdict.difference ?? 0));
  }
  terminal.print(
    `${drawTable(terminal, [{ title: '' }, ...['calls', 'tokens', 'usd'].map(numbers)], rows)}\n`,
  );
  if (weather !== null) printWeather(terminal, weather);
}

/** Prints what the weather API was paid, and what routing cost, beside what the ledger has. */
function printWeather(terminal: Terminal, { charges, msat, bill }: WeatherFacts): void {
  const billed = bill.amountMsat + bill.feeMsat;
  const row = (name: string, count: number, amountMsat: number): string[] => [
    name,
    formatCount(count),
    formatAmount('sats', amountMsat / 1000),
  ];
  const rows = [
    row('the ledger', charges, msat),
    row("the weather API's bill, with fees", bill.payments, billed),
    row('difference', charges - bill.payments, msat - billed),
  ];
  const columns = [{ title: '' }, ...['forecasts', 'sats'].map(numbers)];
  terminal.print(`${drawTable(terminal, columns, rows)}\n`);
}

function printDeath(
  terminal: Terminal,
  plan: DemoPlan,
  { death }: DemoFacts,
  { deathHold }: Verdict,
): void {
  const { agent } = plan.doomed;
  const held = formatAmount('usd', deathHold);
  const how =
    death.pid === null
      ? `${agent} dropped its connection after ${death.pieces} pieces of a stream.`
      : `${agent}, a process of its own, got SIGKILL after ${death.pieces} pieces of a stream.`;
  terminal.print(
    `${how}\n` +
      `It could not say what it had used, so the ${held} held for that call counts as spent:\n` +
      'the ledger may have more than the bill, by that much at most, and never less.\n',
  );
}

function printVerdict(terminal: Terminal, facts: DemoFacts, verdict: Verdict): void {
  const point = (ok: boolean, yes: string, no: string): void => {
    terminal.print(
      ok ? `${terminal.paint('green', '✓')} ${yes}` : `${terminal.paint('red', '✗')} ${no}`,
    );
  };
  const { charges, envelopes, mismatches } = facts.verify;
  point(
    verdict.noCapPassed,
    'No cap was passed, by any agent, project or all of them.',
    `A cap was passed: ${facts.overruns} charges were marked as overruns.`,
  );
  if (verdict.difference !== null) {
    const difference = formatAmount('usd', verdict.difference);
    point(
      verdict.billCovered,
      `Every cent of the bill is in the ledger; the difference is ${difference}.`,
      `The ledger and the bill differ by ${difference}, which is not what was held for one call.`,
    );
  }
  if (facts.weather !== null) {
    const { payments } = facts.weather.bill;
    point(
      verdict.weatherCovered,
      `Every millisatoshi of ${formatCount(payments)} forecasts is in the ledger, routing fees too.`,
      'The ledger and the bill of the weather API differ.',
    );
  }
  point(
    verdict.addsUp,
    `verify: the ledger adds up, ${formatCount(charges)} charges in ${formatCount(envelopes)} envelopes.`,
    `verify: the ledger does not add up; ${mismatches.length} mismatches.`,
  );
  if (facts.deathCharge === null) point(false, '', 'The killed call is not in the ledger.');
}

/** Says what to do next. `place` are the options that name this demo's ledger. */
export function printNext(terminal: Terminal, place: string | null): void {
  const look =
    place === null
      ? []
      : [
          ['Look into this ledger:', `purse report ${place} --by project,agent`],
          ['', `purse balances ${place} --limit project`],
        ];
  const next = [
    ...look,
    [
      'Try limits on recorded traffic:',
      'purse replay trace.csv --limits limits.yaml --model gpt-4o',
    ],
    [
      'Make a ledger of your own:',
      'purse limits set --store sqlite:./purse.db --name day --cap usd=50 --per day',
    ],
    ['Give it to your agents:', 'new OpenAI({ fetch: meteredFetch(await openPurse({ store })) })'],
  ];
  const lines = next.map(([title = '', command = '']) =>
    title === '' ? `  ${command}` : `${title}\n  ${terminal.paint('cyan', command)}`,
  );
  terminal.print(`\n${terminal.paint('bold', 'Next')}\n${lines.join('\n')}`);
}

/** Forecasts bought, and whether the purse left no more. */
function forecastsOf(end: AgentOutcome | undefined): string {
  if (end === undefined) return '';
  return end.refused ? `${end.bought}, then refused` : `${end.bought}`;
}

function usdOf(row: ReportRow): string {
  return formatAmount('usd', row.amounts['usd'] ?? 0);
}
