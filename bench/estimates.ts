/**
 * How far do estimates lie over the bill? Requests as long as those of a production trace, made of
 * this project's own text and code, are estimated as `meteredFetch` would hold them, and compared
 * with what the provider would bill: the exact tokens of the prompt with the framing that OpenAI
 * documents, and the tokens that the trace says were generated.
 *
 * Give the trace as an argument: a CSV file with the columns ContextTokens and GeneratedTokens. Aim:
 * never under the bill.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decode, encode } from 'gpt-tokenizer/encoding/o200k_base';
import { calculateCost, estimateCall } from 'pursestrings/llm';

import { median } from './harness.ts';

const DEFAULT_TRACE: string = fileURLToPath(
  new URL('../../shared/data/azure-llm-trace-2023-code.csv', import.meta.url),
);
const MODEL = 'gpt-4o';
/** Every so many rows of the trace are estimated: to tokenize all takes minutes. */
const ROWS_APART = 20;
/** OpenAI frames each message by 3 tokens and its role by 1, and begins the reply with 3. */
const FRAME_TOKENS = 7;

interface Row {
  readonly contextTokens: number;
  readonly generatedTokens: number;
}

/** What was held for one request, and what it was billed. */
interface Outcome {
  readonly heldInput: number;
  readonly billedInput: number;
  readonly heldUsd: number;
  readonly billedUsd: number;
  readonly counted: boolean;
}

function readTrace(path: string): Row[] {
  const [, ...lines] = readFileSync(path, 'utf8').trim().split(/\r?\n/);
  return lines
    .map((line) => line.split(','))
    .map(([, context, generated]) => ({
      contextTokens: Number(context),
      generatedTokens: Number(generated),
    }));
}

/** Tokens of this project's documents and sources, as one long text. */
function corpus(): number[] {
  const root = new URL('..', import.meta.url);
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /^(?:docs|packages\/[^/]+\/src)\/.*\.(?:ts|md)$/.test(name))
    .toSorted();
  return encode(files.map((name) => readFileSync(new URL(name, root), 'utf8')).join('\n'));
}

function promptOf(tokens: readonly number[], start: number, length: number): string {
  const picked = Array.from({ length }, (_, index) => tokens[(start + index) % tokens.length] ?? 0);
  return decode(picked);
}

async function outcomeOf(row: Row, content: string, cap: number | null): Promise<Outcome> {
  const messages = [{ role: 'user', content }];
  const request = {
    model: MODEL,
    messages,
    ...(cap === null ? {} : { max_completion_tokens: cap }),
  };
  const held = await estimateCall(request);
  const billedInput = encode(content).length + FRAME_TOKENS;
  const usage = { inputTokens: billedInput, outputTokens: row.generatedTokens };
  return {
    heldInput: held.inputTokens,
    billedInput,
    heldUsd: held.usd,
    billedUsd: calculateCost(MODEL, usage).usd,
    counted: held.counted,
  };
}

function print(title: string, outcomes: readonly Outcome[]): void {
  const input = outcomes.map(({ heldInput, billedInput }) => heldInput / billedInput);
  const usd = outcomes.map(({ heldUsd, billedUsd }) => heldUsd / billedUsd);
  const under = outcomes.filter(({ heldUsd, billedUsd }) => heldUsd < billedUsd).length;
  const held = outcomes.reduce((sum, { heldUsd }) => sum + heldUsd, 0);
  const billed = outcomes.reduce((sum, { billedUsd }) => sum + billedUsd, 0);
  const counted = outcomes.filter((outcome) => outcome.counted).length / outcomes.length;
  const p95 = input.toSorted((a, b) => a - b)[Math.floor(input.length * 0.95)] ?? Number.NaN;
  console.log(
    `${title.padEnd(34)} input held / billed: median ${median(input).toFixed(2)}, 95th ${p95.toFixed(2)}` +
      `; USD: median ${median(usd).toFixed(2)}, all together ${(held / billed).toFixed(2)}` +
      `; ${(counted * 100).toFixed(0)} % counted; under the bill: ${under} of ${outcomes.length}`,
  );
  if (under > 0) process.exitCode = 1;
}

const rows = readTrace(process.argv[2] ?? DEFAULT_TRACE).filter(
  (_, index) => index % ROWS_APART === 0,
);
const longest = Math.max(...rows.map(({ generatedTokens }) => generatedTokens));
const tokens = corpus();
const prompts = rows.map(({ contextTokens }, index) =>
  promptOf(tokens, (index * 7_919) % tokens.length, contextTokens),
);
for (const [title, cap] of [
  [`output cap ${longest} (the longest)`, longest],
  ['output cap 4096', 4_096],
  ['no cap: the model’s maximum', null],
] as const) {
  const outcomes: Outcome[] = [];
  for (const [index, row] of rows.entries()) {
    outcomes.push(await outcomeOf(row, prompts[index] ?? '', cap));
  }
  print(title, outcomes);
}
