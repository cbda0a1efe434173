import type { Labels, Limit } from 'pursestrings';

/** Who spends in the demo. */
export interface AgentName {
  readonly agent: string;
  readonly project: string;
}

/** What one run of the demo does. */
export interface DemoPlan {
  readonly agents: readonly AgentName[];
  /** The agent that is killed in the middle of a stream. */
  readonly doomed: AgentName;
  readonly limits: readonly Limit[];
  readonly model: string;
  /** What the model costs: the provider bills by it, and the ledger counts by it. */
  readonly usdPerMillion: { readonly input: number; readonly output: number };
  readonly maxOutputTokens: number;
  /** The agents buy from the paid API too. */
  readonly buysWeather: boolean;
  /** An agent stops after so many calls even when no cap has stopped it. */
  readonly maxCalls: number;
}

/** How long the hold of a killed agent outlives it. */
export const DOOMED_HOLD_TTL_MS = 1500;

/** How many pieces of the stream the doomed agent reads before it is killed. */
export const PIECES_BEFORE_KILL = 20;

/**
 * Twenty agents in four projects, on the loopback provider. The projects differ in size so that
 * each of the limits is the one that bites for somebody.
 */
export function loopbackPlan(): DemoPlan {
  return planOf({
    projects: { billing: 3, search: 4, research: 6, support: 7 },
    caps: { everything: '0.25', project: '0.075', agent: '0.018' },
    // This wallet takes no fee limit, so fees are not held: the caps leave room for them.
    weatherSats: { everything: 480, project: 150 },
    model: 'gpt-4o',
    usdPerMillion: { input: 2.5, output: 10 },
    maxOutputTokens: 160,
    maxCalls: 1000,
  });
}

/** A few agents and a few cents, on the real provider. */
export function livePlan(): DemoPlan {
  return planOf({
    projects: { research: 2, support: 2 },
    caps: { everything: '0.03', project: '0.02', agent: '0.01' },
    model: 'gpt-4o-mini',
    usdPerMillion: { input: 0.15, output: 0.6 },
    maxOutputTokens: 120,
    maxCalls: 3,
  });
}

function planOf(
  setting: Omit<DemoPlan, 'agents' | 'buysWeather' | 'doomed' | 'limits'> & {
    /** How many agents work in each project. */
    readonly projects: Readonly<Record<string, number>>;
    readonly caps: {
      readonly everything: string;
      readonly project: string;
      readonly agent: string;
    };
    /** What may be spent on the weather, where it is bought. */
    readonly weatherSats?: { readonly everything: number; readonly project: number };
  },
): DemoPlan {
  const { projects, caps, weatherSats, ...rest } = setting;
  const names = Object.entries(projects)
    .flatMap(([project, count]) => Array.from({ length: count }, () => project))
    .map((project, index) => ({ agent: `agent-${String(index + 1).padStart(2, '0')}`, project }));
  const doomed = names.at(-1);
  if (doomed === undefined) throw new RangeError('A demo needs at least one agent.');
  return {
    ...rest,
    agents: names.slice(0, -1),
    doomed,
    limits: [
      { name: 'everything', cap: { usd: caps.everything } },
      { name: 'project', cap: { usd: caps.project }, each: ['project'] },
      { name: 'agent', cap: { usd: caps.agent }, each: ['agent'] },
      ...(weatherSats === undefined ? [] : weatherLimits(weatherSats)),
    ],
    buysWeather: weatherSats !== undefined,
  };
}

function weatherLimits(sats: {
  readonly everything: number;
  readonly project: number;
}): readonly Limit[] {
  return [
    { name: 'weather', cap: { sats: sats.everything } },
    { name: 'project weather', cap: { sats: sats.project }, each: ['project'] },
  ];
}

/** The labels that an agent's spends carry. */
export function labelsOf({ agent, project }: AgentName): Labels {
  return { agent, project };
}
