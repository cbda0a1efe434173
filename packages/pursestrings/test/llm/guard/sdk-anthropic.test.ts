import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import {
  BudgetExceededError,
  guard,
  MemoryStore,
  spentTotal,
} from '../../../src/llm/guard/index.ts';
import { rejection } from '../fixture.ts';
import { anthropicPeer, type AnthropicPeerOptions } from '../peers/anthropic-peer.ts';
import { newProject } from './fixture.ts';

describe('guard(anthropic)', () => {
  async function anthropicKit(answer?: AnthropicPeerOptions['answer'], dailyCapUSD: number = 1) {
    const peer = await anthropicPeer(answer === undefined ? {} : { answer });
    onTestFinished(() => peer.close());
    const anthropic = new Anthropic({ apiKey: 'none', baseURL: peer.url, maxRetries: 0 });
    const store = new MemoryStore();
    const project = newProject();
    return {
      peer,
      anthropic,
      options: { project, dailyCapUSD, store },
      spent: async () => BigInt(Math.round((await spentTotal(project, store)) * 1e8)),
    };
  }

  const MESSAGE = {
    model: 'claude-haiku-4-5',
    max_tokens: 64,
    messages: [{ role: 'user' as const, content: 'Say some words' }],
  };

  it('charges messages, streams and helpers what is billed, caches included', async () => {
    const { peer, anthropic, options, spent } = await anthropicKit(() => ({
      usage: {
        input_tokens: 10,
        cache_read_input_tokens: 1_000,
        cache_creation_input_tokens: 500,
        cache_creation: { ephemeral_5m_input_tokens: 500, ephemeral_1h_input_tokens: 0 },
      },
    }));
    const ai = guard(anthropic, options);
    expect((await ai.messages.create(MESSAGE)).content).not.toEqual([]);
    for await (const event of await ai.messages.create({ ...MESSAGE, stream: true })) {
      expect(event.type).toBeTypeOf('string');
    }
    await ai.messages.stream(MESSAGE).finalMessage();
    await ai.messages.parse(MESSAGE);
    await ai.messages.create(MESSAGE).withResponse();
    await peer.idle();
    expect(peer.billed).toBe(5);
    expect(await spent()).toBe(peer.steps);
  });

  it('charges what tool runners and threads send, which find the client by themselves', async () => {
    const { peer, anthropic, options, spent } = await anthropicKit();
    const ai = guard(anthropic, options);
    const last = await ai.beta.messages.toolRunner({ ...MESSAGE, tools: [] });
    expect(last.stop_reason).toBe('end_turn');
    const { model, max_tokens } = MESSAGE;
    const thread = ai.beta.messages.thread({ model, max_tokens });
    expect((await thread.send({ role: 'user', content: 'hi' })).content).not.toEqual([]);
    await peer.idle();
    expect(peer.billed).toBe(2);
    expect(await spent()).toBe(peer.steps);
    await thread.stream({ role: 'user', content: 'hi' }).finalMessage();
    await peer.idle();
    expect(peer.billed).toBe(3);
    await vi.waitFor(async () => expect(await spent()).toBe(peer.steps));
  });

  it('passes count_tokens, and refuses batches by name', async () => {
    const { anthropic, options } = await anthropicKit();
    const ai = guard(anthropic, options);
    await expect(ai.messages.batches.create({ requests: [] })).rejects.toThrow(/batches/);
    const session = ai.beta.sessions.create({} as never);
    await expect(session).rejects.toThrow(/sessions/);
    const alone = guard(anthropic.messages, options);
    await expect(alone.batches.create({ requests: [] })).rejects.toThrow(/batches/);
  });

  it('refuses every kind of call once the cap is used up', async () => {
    const { peer, anthropic, options } = await anthropicKit(undefined, 0);
    const ai = guard(anthropic, options);
    const refused = [
      ai.messages.create(MESSAGE),
      ai.messages.stream(MESSAGE).finalMessage(),
      ai.messages.parse(MESSAGE),
      ai.beta.messages.create(MESSAGE),
      ai.beta.messages.toolRunner({ ...MESSAGE, tools: [] }),
      ai.beta.messages.thread(MESSAGE).send({ role: 'user', content: 'hi' }),
    ];
    for (const call of refused) {
      const error = await rejection(Promise.resolve<unknown>(call));
      expect(BudgetExceededError.from(error)).toMatchObject({ project: options.project });
    }
    expect(peer.requests).toBe(0);
  });
});
