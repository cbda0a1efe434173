/**
 * What do the questions of an orchestrator cost, and does that grow with the history?
 *
 * The same three questions are asked of a service that has no records and of one that has 1,000,000 of
 * 100 agents, in memory. Beside them stands a bare loop that answers from counters and a Map, and does
 * nothing else: no ledger, no slots that come back, no day.
 */
import { BudgetService } from 'pursestrings/agents';
import { median } from './harness.ts';

const RECORDS = 1_000_000;
const AGENTS = 100;
const ROUNDS = 5;
const ROUND_MS = 300;

const config = new Map([
  ['orchestrator.budget.dailyTokenLimit', 1e12],
  ['orchestrator.budget.perAgentTokenLimit', 1e12],
]);

/** A question, how often a second it has to be answered, and the same asked of bare counters. */
interface Question {
  readonly name: string;
  readonly aim: number;
  ask(service: BudgetService, turn: number): unknown;
  raw(counters: Counters, turn: number): unknown;
}

class Counters {
  day = 0;
  running = 0;
  readonly agents = new Map<string, { input: number; output: number }>();

  record(agent: string, input: number, output: number): void {
    const totals = this.agents.get(agent) ?? { input: 0, output: 0 };
    this.agents.set(agent, totals);
    totals.input += input;
    totals.output += output;
    this.day += input + output;
  }
}

const names = Array.from({ length: AGENTS }, (_, index) => `agent-${index}`);
const nameOf = (turn: number): string => names[turn % AGENTS] as string;

const questions: readonly Question[] = [
  {
    name: 'canSpawnAgent',
    aim: 1_000_000,
    ask: (service) => service.canSpawnAgent().allowed,
    raw: ({ day, running }) => ({ allowed: running < 10 && day < 1e12 }).allowed,
  },
  {
    name: 'isAgentOverBudget',
    aim: 1_000_000,
    ask: (service, turn) => service.isAgentOverBudget(nameOf(turn)).totalTokens,
    raw: ({ agents }, turn) => {
      const { input = 0, output = 0 } = agents.get(nameOf(turn)) ?? {};
      return { overBudget: input + output >= 1e12, totalTokens: input + output }.totalTokens;
    },
  },
  {
    name: `getUsageSummary of ${AGENTS} agents`,
    aim: 20_000,
    ask: (service) => service.getUsageSummary().agentUsage.length,
    raw: ({ agents }) =>
      Array.from(agents, ([agentId, { input, output }]) => ({
        agentId,
        taskId: 't',
        inputTokens: input,
        outputTokens: output,
        totalTokens: input + output,
        usagePercent: Math.round(((input + output) / 1e12) * 10_000) / 100,
      })).length,
  },
];

let sink: unknown;

function perSecond(ask: (turn: number) => unknown): number {
  const startMs = performance.now();
  let turn = 0;
  while (performance.now() - startMs < ROUND_MS) {
    for (let count = 0; count < 500; count += 1) sink = ask(turn++);
  }
  return (turn / (performance.now() - startMs)) * 1000;
}

function filled(records: number): BudgetService {
  const service = new BudgetService(config);
  for (const name of names) service.recordUsage(name, 't', 0, 0);
  for (let turn = 0; turn < records; turn += 1) service.recordUsage(nameOf(turn), 't', 10, 5);
  return service;
}

const empty = filled(0);
const startMs = performance.now();
const full = filled(RECORDS);
const recordsPerSecond = RECORDS / ((performance.now() - startMs) / 1000);
const counters = new Counters();
for (const name of names) counters.record(name, 10, 5);

const figure = (value: number): string => Math.round(value).toLocaleString('en-US').padStart(11);
for (const { name, aim, ask, raw } of questions) {
  const rounds = Array.from({ length: ROUNDS }, () => ({
    empty: perSecond((turn) => ask(empty, turn)),
    full: perSecond((turn) => ask(full, turn)),
    raw: perSecond((turn) => raw(counters, turn)),
  })).slice(1);
  const fullRate = median(rounds.map((round) => round.full));
  const ratio = median(rounds.map((round) => round.full / round.empty));
  const verdict = fullRate >= aim ? 'reached' : 'MISSED';
  console.log(
    `${name.padEnd(30)} ${figure(fullRate)} /s after 1,000,000 records (at least ${aim.toLocaleString('en-US')}: ${verdict}), ` +
      `${ratio.toFixed(2)} of an empty one; bare loop ${figure(median(rounds.map((round) => round.raw)))} /s`,
  );
}
console.log(`recordUsage ${figure(recordsPerSecond)} /s on the way there`);
void sink;
await empty.close();
await full.close();
