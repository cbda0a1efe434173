import { loopbackProvider } from 'pursestrings/testing';
import { InputError } from '../input-error.ts';
import type { DemoPlan } from './plan.ts';

/** What a provider says it is owed. */
export interface ProviderBill {
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Exact decimal text. */
  readonly usd: string;
}

/** The provider that the agents call. */
export interface DemoProvider {
  readonly name: string;
  /** `undefined` leaves it to the SDK. */
  readonly url: string | undefined;
  readonly apiKey: string;
  /** Its own bill, once nothing is under way; `null` when it shows none. */
  bill(): Promise<ProviderBill | null>;
  close(): Promise<void>;
}

/** The doomed agent's prompt; the provider answers it slowly, so that there is a middle to die in. */
export const LONG_PROMPT = 'Write the long story of a purse.';

/** Starts a provider in this process, with a bill of its own that knows nothing of the ledger. */
export async function startLoopback(plan: DemoPlan): Promise<DemoProvider> {
  const provider = await loopbackProvider({
    ratesUsdPerMillion: plan.usdPerMillion,
    answer: ({ number, body }) => {
      const long = JSON.stringify(body['messages'] ?? null).includes(LONG_PROMPT);
      if (long) return { content: words(plan.maxOutputTokens), chunkDelayMs: 15 };
      return { content: words(40 + ((number * 37) % 110)) };
    },
  });
  return {
    name: 'a loopback provider',
    url: provider.url,
    apiKey: 'loopback',
    bill: async () => {
      await provider.idle();
      const { requests, promptTokens, completionTokens, usd } = provider.bill;
      return { requests, promptTokens, completionTokens, usd };
    },
    close: () => provider.close(),
  };
}

/** The real provider, with the key from the environment. */
export function liveProvider(): DemoProvider {
  const apiKey = process.env['OPENAI_API_KEY'] ?? '';
  if (apiKey === '') {
    throw new InputError(
      'OPENAI_API_KEY is not set; set it for --live, or leave --live out to use a loopback provider.',
      { code: 'NO_API_KEY' },
    );
  }
  return {
    name: 'OpenAI',
    url: undefined,
    apiKey,
    bill: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  };
}

function words(count: number): string {
  return Array.from({ length: count }, (_, index) => `word${index + 1}`).join(' ');
}
