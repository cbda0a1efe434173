import { expect, onTestFinished, vi } from 'vitest';

import {
  guard,
  type GuardOptions,
  MemoryStore,
  spentTotal,
  type Usage,
} from '../../../src/llm/guard/index.ts';

/** A request, as budget-guard's users write it. */
export interface Request {
  readonly model: string;
  readonly max_tokens?: number;
  readonly stream?: boolean;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
}

/** One dollar of gpt-4o's output, at USD 10 a million tokens: https://platform.openai.com/docs/pricing, 2026-11-22. */
export const DOLLAR: Usage = { input: 0, output: 100_000 };

export interface FakeClient {
  calls: number;
  create(args: Request): Promise<{ readonly id: number; readonly usage: unknown }>;
}

/** A client that answers with a usage, a moment later. */
export function fakeClient(usage: unknown = DOLLAR, delayMs: number = 1): FakeClient {
  return {
    calls: 0,
    async create() {
      this.calls += 1;
      const id = this.calls;
      await new Promise((wake) => setTimeout(wake, delayMs));
      return { id, usage };
    },
  };
}

/** What the process warns of by its codes, while the test runs. */
export function watchWarnings(): string[] {
  const codes: string[] = [];
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation((...parts: unknown[]) => {
    const options = parts[1] as { code?: string } | undefined;
    codes.push(options?.code ?? String(parts[0]));
  });
  onTestFinished(() => spy.mockRestore());
  return codes;
}

/** What is written by `console.warn` while the test runs. */
export function watchConsole(): string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(console, 'warn').mockImplementation((...parts: unknown[]) => {
    lines.push(parts.join(' '));
  });
  onTestFinished(() => spy.mockRestore());
  return lines;
}

/** How many of the promises were fulfilled. */
export async function fulfilled(promises: Iterable<Promise<unknown>>): Promise<number> {
  const results = await Promise.allSettled(promises);
  return results.filter(({ status }) => status === 'fulfilled').length;
}

/** A project that no other test has. */
export function newProject(): string {
  projects += 1;
  return `project-${projects}`;
}

let projects = 0;

/** A guarded client, and what it has spent. */
export interface Kit {
  readonly project: string;
  readonly store: MemoryStore;
  readonly client: FakeClient;
  create(args: Request): Promise<unknown>;
  spent(): Promise<number>;
}

export function kit(options: Partial<GuardOptions<Request>> = {}, usage: unknown = DOLLAR): Kit {
  const project = newProject();
  const store = new MemoryStore();
  const client = fakeClient(usage);
  const ai = guard(client, { project, dailyCapUSD: 50, store, ...options });
  return {
    project,
    store,
    client,
    create: (args) => ai.create(args),
    spent: () => spentTotal(project, store),
  };
}

export const REQUEST: Request = {
  model: 'gpt-4o',
  max_tokens: 1_000,
  messages: [{ role: 'user', content: 'hi' }],
};

/** What REQUEST holds of gpt-4o: 1,000 tokens out, and a few in, at USD 10 and 2.50 a million. */
const HELD_USD = { least: 0.01, most: 0.011 };

export function expectHeld(usd: number): void {
  expect(usd).toBeGreaterThanOrEqual(HELD_USD.least);
  expect(usd).toBeLessThanOrEqual(HELD_USD.most);
}
