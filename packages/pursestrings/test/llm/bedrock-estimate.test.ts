import fc from 'fast-check';
import { expect, it } from 'vitest';

import { bedrockPeer } from './peers/bedrock-peer.ts';
import type { BedrockAnswer, BedrockRequest } from './peers/bedrock-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';

const MODEL = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0';

/**
 * USD for a million tokens in us-east-1: https://aws.amazon.com/bedrock/pricing/, as
 * https://github.com/pydantic/genai-prices has it on 2026-11-22; the page itself is a script.
 */
const RATES = {
  input: picos('3.3'),
  write: picos('4.125'),
  hour: picos('6.6'),
  output: picos('16.5'),
};

interface Block {
  readonly text?: string;
  readonly image?: object;
  readonly document?: { readonly source: { readonly bytes: string } };
  readonly toolResult?: { readonly content: readonly Block[] };
  readonly toolUse?: { readonly input: object };
  readonly cachePoint?: { readonly ttl?: string };
}

interface Body {
  readonly messages: readonly { readonly content: readonly Block[] }[];
  readonly system?: readonly Block[];
  readonly toolConfig?: object;
  readonly inferenceConfig: { readonly maxTokens: number };
}

/** The dearest reading of blocks: every byte of text a token, and the largest of images. */
function tokensOf(blocks: readonly Block[]): number {
  let tokens = 0;
  for (const block of blocks) {
    if (block.text !== undefined) tokens += Buffer.byteLength(block.text);
    // 1,600 at most on this model: https://platform.claude.com/docs/en/build-with-claude/vision
    if (block.image !== undefined) tokens += 1_600;
    if (block.document !== undefined) {
      tokens += Buffer.from(block.document.source.bytes, 'base64').length;
    }
    if (block.toolUse !== undefined)
      tokens += Buffer.byteLength(JSON.stringify(block.toolUse.input));
    if (block.toolResult !== undefined) tokens += tokensOf(block.toolResult.content);
  }
  return tokens;
}

function bill({ body }: BedrockRequest): BedrockAnswer {
  const { messages, system = [], toolConfig, inferenceConfig } = body as unknown as Body;
  const blocks = [...system, ...messages.flatMap(({ content }) => content)];
  let tokens = tokensOf(blocks) + 4 * messages.length;
  // 346 tokens are put before tools: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
  if (toolConfig !== undefined) tokens += 346 + Buffer.byteLength(JSON.stringify(toolConfig));
  const points = blocks.flatMap(({ cachePoint }) => (cachePoint === undefined ? [] : [cachePoint]));
  const hour = points.some(({ ttl }) => ttl === '1h');
  const written = points.length > 0 ? tokens : 0;
  const output = inferenceConfig.maxTokens;
  const rate = points.length === 0 ? RATES.input : hour ? RATES.hour : RATES.write;
  return {
    usage: {
      inputTokens: tokens - written,
      outputTokens: output,
      totalTokens: tokens + output,
      cacheWriteInputTokens: written,
      cacheDetails: written > 0 ? [{ ttl: hour ? '1h' : '5m', inputTokens: written }] : [],
    },
    picos: BigInt(tokens) * rate + BigInt(output) * RATES.output,
  };
}

it('holds never less than the dearest bill of a random request', { timeout: 60_000 }, async () => {
  const peer = await bedrockPeer(bill);
  const ledger = await openPeerLedger(peer.url, {
    limits: [{ name: 'all', cap: { usd: 10_000 } }],
  });
  const held: number[] = [];
  ledger.purse.on('charge', (charge) => held.push(charge.held?.usd ?? 0));
  const bytes = fc
    .uint8Array({ maxLength: 2_000 })
    .map((data) => Buffer.from(data).toString('base64'));
  const text = fc.string({ unit: 'grapheme', maxLength: 200 }).map((words) => ({ text: words }));
  const image = bytes.map((data) => ({ image: { format: 'png', source: { bytes: data } } }));
  const plain = bytes.map((data) => ({
    document: { format: 'txt', name: 'a', source: { bytes: data } },
  }));
  const point = fc.constantFrom(
    { cachePoint: { type: 'default' } },
    { cachePoint: { type: 'default', ttl: '1h' } },
  );
  const toolUse = fc.dictionary(fc.string(), fc.string()).map((input) => ({
    toolUse: { toolUseId: 'u', name: 'f', input },
  }));
  const toolResult = fc.array(fc.oneof(text, image)).map((content) => ({
    toolResult: { toolUseId: 'u', content },
  }));
  const content = fc.array(fc.oneof(text, text, image, plain, point, toolUse, toolResult), {
    maxLength: 4,
  });
  const request = fc.record(
    {
      messages: fc.array(fc.record({ role: fc.constant('user'), content }), {
        minLength: 1,
        maxLength: 4,
      }),
      system: fc.array(fc.oneof(text, point), { maxLength: 2 }),
      toolConfig: fc.constant({
        tools: [{ toolSpec: { name: 'f', inputSchema: { json: { type: 'object' } } } }],
      }),
      inferenceConfig: fc.record({ maxTokens: fc.integer({ min: 1, max: 9_000 }) }),
    },
    { requiredKeys: ['messages', 'inferenceConfig'] },
  );
  await fc.assert(
    fc.asyncProperty(request, async (body) => {
      const before = { spent: await ledger.spentSteps(), billed: peer.billedPicos };
      const url = `${peer.url}/model/${encodeURIComponent(MODEL)}/converse`;
      const response = await ledger.fetch(url, { method: 'POST', body: JSON.stringify(body) });
      expect(response.status).toBe(200);
      const billed = stepsOf(peer.billedPicos - before.billed);
      expect((await ledger.spentSteps()) - before.spent).toBe(billed);
      expect(BigInt(Math.round((held.at(-1) ?? 0) * 1e8))).toBeGreaterThanOrEqual(billed);
    }),
    { numRuns: 100 },
  );
});
