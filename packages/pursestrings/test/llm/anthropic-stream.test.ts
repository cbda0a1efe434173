import { describe, expect, it } from 'vitest';

import { openAnthropicStream } from '../../src/llm/providers/anthropic/stream.ts';
import { callShape } from '../../src/llm/providers/provider.ts';
import type { StreamReader } from '../../src/llm/providers/provider.ts';
import { anthropicTiers } from '../../src/llm/prices/tiers/anthropic.ts';

const SHAPE = callShape({ model: 'claude-haiku-4-5' });

/** Shows an event as the meter does: one character for each byte. */
function show(reader: StreamReader, event: object): boolean {
  return reader.read(Buffer.from(JSON.stringify(event)).toString('latin1'));
}

function delta(inner: object): object {
  return { type: 'content_block_delta', index: 0, delta: inner };
}

describe('the reader of a stream', () => {
  it('tells the text that was streamed, of every kind and in every script', () => {
    const told: string[] = [];
    const reader = openAnthropicStream(SHAPE, (text) => told.push(text));
    show(reader, delta({ type: 'thinking_delta', thinking: 'Hm, naïve' }));
    show(reader, delta({ type: 'text_delta', text: 'Grüße, 世界 🌍' }));
    show(reader, delta({ type: 'input_json_delta', partial_json: '{"place":"Köln"}' }));
    show(reader, delta({ type: 'signature_delta', signature: 'EqQB' }));
    expect(told).toEqual(['Hm, naïve', 'Grüße, 世界 🌍', '{"place":"Köln"}']);
  });

  it('counts what was certainly generated, and nothing that only looks like it', () => {
    const reader = openAnthropicStream(SHAPE, null);
    expect(reader.tokensSeen()).toBe(0);
    show(reader, delta({ type: 'text_delta', text: 'One' }));
    show(reader, delta({ type: 'text_delta', text: '' }));
    show(reader, delta({ type: 'input_json_delta', partial_json: '' }));
    show(reader, delta({ type: 'input_json_delta', partial_json: '{"a"' }));
    show(reader, delta({ type: 'thinking_delta', thinking: 'A summary' }));
    expect(reader.tokensSeen()).toBe(2);
    const usage = { input_tokens: 9, output_tokens: 70 };
    show(reader, { type: 'message_delta', delta: { stop_reason: null }, usage });
    expect(reader.tokensSeen()).toBe(70);
    expect(reader.complete()).toBe(false);
    expect(reader.usage()).toBeNull();
  });

  it('is not misled by a text that quotes an event', () => {
    const reader = openAnthropicStream(SHAPE, null);
    const quoted = JSON.stringify({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn' },
      usage: { input_tokens: 1, output_tokens: 1 },
    });
    show(reader, delta({ type: 'text_delta', text: quoted }));
    show(reader, { type: 'content_block_start', content_block: { type: 'text', text: quoted } });
    expect(reader.complete()).toBe(false);
    expect(reader.usage()).toBeNull();
  });

  it('hides nothing, and stands what is no JSON', () => {
    const reader = openAnthropicStream(SHAPE, () => undefined);
    for (const data of ['', '[DONE]', '{"type":"message_start"', '"type":"content_block_delta"']) {
      expect(reader.read(data)).toBe(false);
    }
    expect(show(reader, { type: 'message_stop' })).toBe(false);
    expect(reader.complete()).toBe(true);
    expect(reader.usage()).toBeNull();
  });
});

describe("Anthropic's tiers", () => {
  const namesFor = (model: string): string[] => anthropicTiers(model).map(({ name }) => name);

  it('are those that a model is sold at', () => {
    const old = ['batch', 'priority'];
    const placed = ['batch', 'batch+us', 'priority', 'priority+us', 'us'];
    const quick = [...placed.slice(0, 4), 'fast', 'fast+us', 'us'];
    for (const model of ['claude-haiku-4-5', 'claude-opus-4-1', 'claude-3-5-sonnet']) {
      expect(namesFor(model)).toEqual(old);
    }
    for (const model of ['claude-opus-4-6', 'claude-sonnet-4-6', 'claude-haiku-5-5']) {
      expect(namesFor(model)).toEqual(placed);
    }
    for (const model of [
      'claude-opus-4-8',
      'claude-opus-5',
      'claude-opus-5-5',
      'claude-fable-5-2',
    ]) {
      expect(namesFor(model)).toEqual(quick);
    }
    expect(namesFor('claude-fable-5-1')).toEqual(placed);
  });

  it('multiply', () => {
    const fractions = new Map(
      anthropicTiers('claude-opus-5-5').map((tier) => [
        tier.name,
        `${tier.numerator}/${tier.denominator}`,
      ]),
    );
    expect(Object.fromEntries(fractions)).toEqual({
      batch: '1/2',
      'batch+us': '11/20',
      priority: '1/1',
      'priority+us': '11/10',
      fast: '2/1',
      'fast+us': '22/10',
      us: '11/10',
    });
  });
});
