import OpenAI from 'openai';
import { BudgetExceededError, type Denial, type Purse } from 'pursestrings';
import { meteredFetch } from 'pursestrings/llm';
import { InputError, messageOf } from '../input-error.ts';
import { type AgentName, type DemoPlan, labelsOf } from './plan.ts';
import { buyForecast, CALLS_PER_FORECAST, type WeatherApi } from './weather.ts';

/** Where an agent's calls go. */
export interface Endpoint {
  readonly url: string | undefined;
  readonly apiKey: string;
}

/** How an agent's day ended. */
export interface AgentOutcome extends AgentName {
  readonly calls: number;
  readonly streamed: number;
  /** Forecasts that it bought. */
  readonly bought: number;
  /** The purse did not leave it another; it did without from then on. */
  readonly refused: boolean;
  /** The limit that stopped it; `null` when it came to the end of its work. */
  readonly stoppedBy: string | null;
}

/** How often an agent asks again while the money that it lacks is only held by others. */
const MAX_WAITS = 40;
const WAIT_MS = 25;

/** The official SDK with a metered `fetch`: all that an agent needs to spend from a purse. */
export function openClient(
  purse: Purse,
  plan: DemoPlan,
  name: AgentName,
  endpoint: Endpoint,
): OpenAI {
  return new OpenAI({
    apiKey: endpoint.apiKey,
    ...(endpoint.url !== undefined && { baseURL: endpoint.url }),
    fetch: meteredFetch(purse, {
      labels: labelsOf(name),
      prices: { [plan.model]: { usdPerMillion: plan.usdPerMillion } },
    }),
  });
}

/** Calls the model, in turn whole and streamed, until a cap says no. */
export async function runAgent(
  purse: Purse,
  plan: DemoPlan,
  name: AgentName,
  endpoint: Endpoint,
  onCall: () => void,
  weather: WeatherApi | null,
): Promise<AgentOutcome> {
  const client = openClient(purse, plan, name, endpoint);
  const fetchPaid = weather?.open(purse, name);
  const forecasts = { bought: 0, refused: false };
  let calls = 0;
  let streamed = 0;
  let waits = 0;
  while (calls < plan.maxCalls) {
    const stream = calls % 2 === 1;
    try {
      await (stream ? callStreamed(client, plan, calls) : callWhole(client, plan, calls));
    } catch (error) {
      const refusal = BudgetExceededError.from(error);
      if (refusal === null) throw providerFailure(error);
      waits += 1;
      if (waits > MAX_WAITS || refusal.denials.some(isFinal)) {
        return { ...name, calls, streamed, ...forecasts, stoppedBy: nameOf(refusal.denials) };
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      continue;
    }
    calls += 1;
    if (stream) streamed += 1;
    onCall();
    const wantsForecast = calls % CALLS_PER_FORECAST === 0 && !forecasts.refused;
    if (weather === null || fetchPaid === undefined || !wantsForecast) continue;
    if (await buyForecast(fetchPaid, weather.url, name, calls)) forecasts.bought += 1;
    else forecasts.refused = true;
  }
  return { ...name, calls, streamed, ...forecasts, stoppedBy: null };
}

/** A provider that refuses or fails is no fault of the ledger, nor of the demo. */
function providerFailure(error: unknown): unknown {
  if (!(error instanceof OpenAI.APIError)) return error;
  const message = `A call to the provider failed: ${messageOf(error)}; try again later.`;
  return new InputError(message, { code: 'PROVIDER_FAILED', cause: error });
}

/** Nothing is held that could come back: asking again would be of no use. */
function isFinal(denial: Denial): boolean {
  return denial.held === 0;
}

function nameOf(denials: readonly Denial[]): string {
  const denial = denials.find(isFinal) ?? denials[0];
  return denial?.limit ?? denial?.reason ?? 'unknown';
}

function promptOf(turn: number): string {
  return `Step ${turn + 1}: read what came in, say in a few lines what is new, and what to do next.`;
}

async function callWhole(client: OpenAI, plan: DemoPlan, turn: number): Promise<void> {
  await client.chat.completions.create({
    model: plan.model,
    messages: [{ role: 'user', content: promptOf(turn) }],
    max_completion_tokens: plan.maxOutputTokens,
  });
}

async function callStreamed(client: OpenAI, plan: DemoPlan, turn: number): Promise<void> {
  const stream = await client.chat.completions.create({
    model: plan.model,
    messages: [{ role: 'user', content: promptOf(turn) }],
    max_completion_tokens: plan.maxOutputTokens,
    stream: true,
  });
  let pieces = 0;
  for await (const piece of stream) pieces += piece.choices.length;
  if (pieces === 0) throw new Error('The provider streamed nothing.');
}
