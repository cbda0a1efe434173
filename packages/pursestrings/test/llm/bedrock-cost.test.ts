import { describe, expect, it } from 'vitest';

import { bedrockPeer } from './peers/bedrock-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';

/**
 * USD for a million tokens in us-east-1: https://aws.amazon.com/bedrock/pricing/, as
 * https://github.com/pydantic/genai-prices has it on 2026-11-22; the page itself is a script.
 */
const SONNET_45_US = {
  input: picos('3.3'),
  write: picos('4.125'),
  // An hour costs twice the input: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
  writeHour: picos('6.6'),
  read: picos('0.33'),
  output: picos('16.5'),
};
const SONNET_45_GLOBAL = {
  input: picos('3'),
  write: picos('3.75'),
  read: picos('0.3'),
  output: picos('15'),
};
const NOVA_PRO = { input: picos('0.8'), read: picos('0.2'), output: picos('3.2') };

const SONNET = 'anthropic.claude-sonnet-4-5-20250929-v1:0';
const CACHE_POINT = { cachePoint: { type: 'default' } };

interface Case {
  readonly name: string;
  readonly model: string;
  readonly request?: Readonly<Record<string, unknown>>;
  readonly usage: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
  readonly picos: bigint;
}

const CASES: readonly Case[] = [
  {
    name: 'a model of Amazon',
    model: 'amazon.nova-pro-v1:0',
    usage: { inputTokens: 1_000, outputTokens: 200, totalTokens: 1_200 },
    picos: 1_000n * NOVA_PRO.input + 200n * NOVA_PRO.output,
  },
  {
    name: 'what was read from a cache, counted beside the input',
    model: 'us.amazon.nova-pro-v1:0',
    request: { system: [{ text: 'Be brief' }, CACHE_POINT] },
    usage: {
      inputTokens: 100,
      outputTokens: 20,
      totalTokens: 5_120,
      cacheReadInputTokens: 5_000,
      cacheWriteInputTokens: 0,
    },
    picos: 100n * NOVA_PRO.input + 5_000n * NOVA_PRO.read + 20n * NOVA_PRO.output,
  },
  {
    name: 'a profile of a region, with reads and writes of both kinds',
    model: `us.${SONNET}`,
    request: { system: [{ text: 'Be brief' }, { cachePoint: { type: 'default', ttl: '1h' } }] },
    usage: {
      inputTokens: 7,
      outputTokens: 300,
      totalTokens: 8_307,
      cacheReadInputTokens: 3_000,
      cacheWriteInputTokens: 5_000,
      cacheDetails: [
        { ttl: '1h', inputTokens: 4_000 },
        { ttl: '5m', inputTokens: 1_000 },
      ],
    },
    picos:
      7n * SONNET_45_US.input +
      3_000n * SONNET_45_US.read +
      1_000n * SONNET_45_US.write +
      4_000n * SONNET_45_US.writeHour +
      300n * SONNET_45_US.output,
  },
  {
    name: 'a global profile, which is cheaper',
    model: `global.${SONNET}`,
    usage: {
      inputTokens: 50,
      outputTokens: 30,
      totalTokens: 1_080,
      cacheWriteInputTokens: 1_000,
    },
    picos:
      50n * SONNET_45_GLOBAL.input +
      1_000n * SONNET_45_GLOBAL.write +
      30n * SONNET_45_GLOBAL.output,
  },
  {
    name: 'a profile by its ARN',
    model: `arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.${SONNET}`,
    usage: { inputTokens: 50, outputTokens: 30, totalTokens: 80 },
    picos: 50n * SONNET_45_US.input + 30n * SONNET_45_US.output,
  },
  {
    name: 'a model by its ARN',
    model: 'arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0',
    usage: { inputTokens: 50, outputTokens: 30, totalTokens: 80 },
    more: { serviceTier: { type: 'default' }, performanceConfig: { latency: 'standard' } },
    picos: 50n * NOVA_PRO.input + 30n * NOVA_PRO.output,
  },
  {
    name: 'a total that holds more than its parts, as output',
    model: 'amazon.nova-pro-v1:0',
    usage: { inputTokens: 100, outputTokens: 20, totalTokens: 170 },
    picos: 100n * NOVA_PRO.input + 70n * NOVA_PRO.output,
  },
];

describe('a Converse call costs exactly what it should', () => {
  for (const each of CASES) {
    it.each([
      ['whole', 'converse'],
      ['streamed', 'converse-stream'],
    ])(`${each.name}, %s`, async (_, operation) => {
      const { usage, more = {} } = each;
      const peer = await bedrockPeer(() => ({ usage, more, picos: each.picos }));
      const ledger = await openPeerLedger(peer.url);
      const host = 'https://bedrock-runtime.us-east-1.amazonaws.com';
      const url = `${host}/model/${encodeURIComponent(each.model)}/${operation}`;
      const response = await ledger.fetch(url, {
        method: 'POST',
        body: JSON.stringify({
          messages: [{ role: 'user', content: [{ text: 'Say some words' }] }],
          inferenceConfig: { maxTokens: 1_000 },
          ...each.request,
        }),
      });
      expect(response.status).toBe(200);
      await response.arrayBuffer();
      expect(await ledger.spentSteps()).toBe(stepsOf(each.picos));
      expect(await ledger.spentSteps()).toBe(stepsOf(peer.billedPicos));
      expect(await ledger.heldSteps()).toBe(0n);
    });
  }

  it('has Bedrock’s prices at every address that speaks its format', async () => {
    const usage = { inputTokens: 50, outputTokens: 30, totalTokens: 80 };
    const peer = await bedrockPeer(() => ({ usage }));
    const ledger = await openPeerLedger(peer.url);
    const url = `${peer.url}/model/us.${SONNET}/converse`;
    const messages = [{ role: 'user', content: [{ text: 'Hi' }] }];
    await ledger.fetch(url, { method: 'POST', body: JSON.stringify({ messages }) });
    const [charge] = await ledger.charges();
    expect(charge?.labels).toMatchObject({ provider: 'aws', model: `us.${SONNET}` });
    expect(await ledger.spentSteps()).toBe(
      stepsOf(50n * SONNET_45_US.input + 30n * SONNET_45_US.output),
    );
  });

  it('charges the tiers that the user gave prices for', async () => {
    const usage = { inputTokens: 1_000, outputTokens: 100, totalTokens: 1_100 };
    const peer = await bedrockPeer(() => ({ usage, more: { serviceTier: { type: 'priority' } } }));
    const serviceTiers = { priority: { input: '1.4', output: '5.6' } };
    const usdPerMillion = { input: '0.8', output: '3.2' };
    const prices = { 'amazon.nova-pro-v1:0': { usdPerMillion, serviceTiers } };
    const ledger = await openPeerLedger(peer.url, { meter: { prices } });
    const body = JSON.stringify({
      messages: [{ role: 'user', content: [{ text: 'Hi' }] }],
      serviceTier: { type: 'priority' },
    });
    const url = `${peer.url}/model/amazon.nova-pro-v1%3A0/converse`;
    await ledger.fetch(url, { method: 'POST', body });
    expect(await ledger.spentSteps()).toBe(stepsOf(1_000n * picos('1.4') + 100n * picos('5.6')));
  });
});
