/**
 * What does metering add to a call? The same calls through a bare fetch and through `meteredFetch`,
 * alternating in one run: over HTTP against the loopback provider, and against a fetch that answers
 * at once, where nothing hides the difference. The purse has three matching limits, in memory.
 *
 * Aims: under 150 µs on a JSON call, under 5 µs on a streamed chunk.
 */
import OpenAI from 'openai';
import { openPurse } from 'pursestrings';
import { calculateCost, meteredFetch } from 'pursestrings/llm';
import { loopbackProvider } from 'pursestrings/testing';

const URL_AT_ONCE = 'https://api.openai.com/v1/chat/completions';
const CHUNKS = 10_000;

const purse = await openPurse({
  limits: [
    { name: 'all', cap: { usd: 1_000_000 } },
    { name: 'project', cap: { usd: 1_000_000 }, each: ['project'], per: 'day' },
    { name: 'agent', cap: { usd: 1_000_000, calls: 1e12 }, each: ['agent'], per: 'hour' },
  ],
});
const labels = { project: 'bench', agent: 'a1' };

function request(more: object): RequestInit {
  const messages = [
    { role: 'system', content: 'You are a careful agent that answers in few words. '.repeat(8) },
    { role: 'user', content: 'What does metering add to a call?' },
  ];
  const body = { model: 'gpt-4o', max_completion_tokens: 200, messages, ...more };
  const headers = new Headers({ 'content-type': 'application/json', authorization: 'Bearer x' });
  return { method: 'POST', headers, body: JSON.stringify(body) };
}

async function microseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * 1_000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function print(question: string, bare: number, metered: number): void {
  const ratio = (metered / bare).toFixed(2);
  const added = (metered - bare).toFixed(2);
  console.log(
    `${question.padEnd(44)} bare ${bare.toFixed(2).padStart(9)} µs   metered ${metered.toFixed(2).padStart(9)} µs   ` +
      `added ${added.padStart(8)} µs   ratio ${ratio}`,
  );
}

/** Times two kinds of call in turn, so that whatever else the machine does falls on both. */
async function compare(
  rounds: number,
  bare: () => Promise<unknown>,
  metered: () => Promise<unknown>,
): Promise<{ bare: number; metered: number }> {
  const times: { bare: number[]; metered: number[] } = { bare: [], metered: [] };
  for (let round = 0; round < rounds * 1.2; round += 1) {
    const [first, second] = [await microseconds(bare), await microseconds(metered)];
    if (round < rounds * 0.2) continue;
    times.bare.push(first);
    times.metered.push(second);
  }
  return { bare: median(times.bare), metered: median(times.metered) };
}

const answer = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  model: 'gpt-4o',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Little. '.repeat(40) } }],
  usage: { prompt_tokens: 120, completion_tokens: 80, total_tokens: 200 },
});

const atOnce: typeof fetch = async () =>
  new Response(answer, { headers: { 'content-type': 'application/json' } });
const meteredAtOnce = meteredFetch(purse, { labels, fetch: atOnce });
const json = request({});
const direct = await compare(
  4_000,
  async () => (await atOnce(URL_AT_ONCE, json)).json(),
  async () => (await meteredAtOnce(URL_AT_ONCE, json)).json(),
);
print('JSON call, an inner fetch that answers at once', direct.bare, direct.metered);

const sdk = (inner: typeof fetch, baseURL?: string): OpenAI =>
  new OpenAI({
    apiKey: 'x',
    fetch: inner,
    maxRetries: 0,
    ...(baseURL === undefined ? {} : { baseURL }),
  });
const params = JSON.parse(json.body as string) as OpenAI.ChatCompletionCreateParamsNonStreaming;
const bareSdk = sdk(atOnce);
const meteredSdk = sdk(meteredAtOnce);
const bySdk = await compare(
  2_000,
  () => bareSdk.chat.completions.create(params),
  () => meteredSdk.chat.completions.create(params),
);
print('the same by the openai SDK', bySdk.bare, bySdk.metered);

const provider = await loopbackProvider({
  ratesUsdPerMillion: { input: 2.5, output: 10 },
  answer: () => ({ content: 'Little. '.repeat(40) }),
});
const url = `${provider.url}/chat/completions`;
const meteredHttp = meteredFetch(purse, { labels });
const http = await compare(
  1_000,
  async () => (await fetch(url, json)).json(),
  async () => (await meteredHttp(url, json)).json(),
);
print('JSON call over HTTP on this machine', http.bare, http.metered);
const bareHttpSdk = sdk(fetch, provider.url);
const meteredHttpSdk = sdk(meteredHttp, provider.url);
const httpSdk = await compare(
  1_000,
  () => bareHttpSdk.chat.completions.create(params),
  () => meteredHttpSdk.chat.completions.create(params),
);
print('JSON call by the openai SDK over HTTP', httpSdk.bare, httpSdk.metered);
await provider.close();

const encoder = new TextEncoder();
const chunks = Array.from({ length: CHUNKS }, (_, index) =>
  encoder.encode(
    `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","service_tier":"default",` +
      `"system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word${index}"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n`,
  ),
);
const last = encoder.encode(
  'data: {"choices":[],"usage":{"prompt_tokens":120,"completion_tokens":10000,"total_tokens":10120}}\n\ndata: [DONE]\n\n',
);
const streaming: typeof fetch = async () => {
  let next = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks[next];
      next += 1;
      controller.enqueue(chunk ?? last);
      if (chunk === undefined) controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
};

async function drain(response: Response): Promise<void> {
  const reader = response.body?.getReader();
  while ((await reader?.read())?.done === false);
}

const meteredStreaming = meteredFetch(purse, { labels, fetch: streaming });
const streamed = request({ stream: true });
const stream = await compare(
  20,
  async () => drain(await streaming(URL_AT_ONCE, streamed)),
  async () => drain(await meteredStreaming(URL_AT_ONCE, streamed)),
);
print('one chunk of a stream of 10,000', stream.bare / CHUNKS, stream.metered / CHUNKS);

const usage = { inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 200 };
const ROUNDS = 200_000;
const perCost = await compare(
  5,
  async () => {
    let sum = 0;
    for (let round = 0; round < ROUNDS; round += 1) sum += usage.inputTokens * 2.5 + round;
    return sum;
  },
  async () => {
    let sum = 0;
    for (let round = 0; round < ROUNDS; round += 1) sum += calculateCost('gpt-4o', usage).usd;
    return sum;
  },
);
print('calculateCost, beside a float product', perCost.bare / ROUNDS, perCost.metered / ROUNDS);
await purse.close();
