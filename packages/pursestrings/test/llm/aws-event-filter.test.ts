import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { AwsEventFilter } from '../../src/llm/streams/aws-event-filter.ts';
import { bedrockConverse } from '../../src/llm/providers/bedrock/converse.ts';
import { callShape } from '../../src/llm/providers/provider.ts';
import { awsEvent, converseEvents } from './peers/bedrock-peer.ts';

const USAGE = { inputTokens: 12, outputTokens: 5, totalTokens: 17 };

/** Feeds bytes cut at these places; gives what came through, and what was shown. */
function pass(bytes: Buffer, cuts: readonly number[]): { through: Buffer; shown: string[] } {
  const shown: string[] = [];
  const filter = new AwsEventFilter({ read: (data) => (shown.push(data), false) });
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length];
  const ordered = places.toSorted((a, b) => a - b);
  const passed = ordered.slice(1).flatMap((end, index) => {
    const chunk = new Uint8Array(bytes.subarray(ordered[index], end));
    const pieces = filter.pass(chunk).map((piece) => Buffer.from(piece));
    // Who takes a chunk may do with it what he likes.
    chunk.fill(0);
    return pieces;
  });
  return { through: Buffer.concat([...passed, filter.rest()]), shown };
}

describe('AwsEventFilter', () => {
  const words = fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 6 });
  const cuts = fc.array(fc.nat(), { maxLength: 20 });

  it('passes every byte and shows every message, however the network cuts them', () => {
    fc.assert(
      fc.property(words, cuts, (texts, places) => {
        const bytes = Buffer.concat(converseEvents({ words: texts, usage: USAGE }));
        const { through, shown } = pass(bytes, places);
        expect(through.equals(bytes)).toBe(true);
        const told: string[] = [];
        const shape = callShape({ model: 'amazon.nova-pro-v1:0', streamed: true });
        const reader = bedrockConverse.openStream(shape, (text) => told.push(text));
        for (const data of shown) expect(reader.read(data)).toBe(false);
        expect(told.join('')).toBe(texts.join(''));
        expect(reader.usage()).toMatchObject({ inputTokens: 12, outputTokens: 5 });
        expect(reader.complete()).toBe(true);
        expect(reader.tokensSeen()).toBe(texts.length);
      }),
      { numRuns: 200 },
    );
  });

  it('passes a chunk as it came, without a copy', () => {
    const chunk = new Uint8Array(awsEvent('messageStart', { role: 'assistant' }, 'event'));
    const filter = new AwsEventFilter({ read: () => false });
    expect(filter.pass(chunk)[0]).toBe(chunk);
  });

  it('shows an exception by its name', () => {
    const bytes = awsEvent('throttlingException', { message: 'slow' }, 'exception');
    expect(pass(bytes, []).shown).toEqual(['{"throttlingException":{"message":"slow"}}']);
  });

  it.each([
    ['a checksum of the lengths', 8],
    ['a length', 1],
    ['a header', 14],
    ['the payload', 90],
    ['the last checksum', -1],
  ])('passes all and reads no further where %s is broken', (_, at) => {
    const [first, ...others] = converseEvents({ usage: USAGE });
    const broken = Buffer.from(first ?? Buffer.alloc(0));
    const place = at < 0 ? broken.length + at : Math.min(at, broken.length - 5);
    broken[place] = (broken[place] ?? 0) ^ 0x55;
    const bytes = Buffer.concat([broken, ...others]);
    const { through, shown } = pass(bytes, [5, 60, 200]);
    expect(through.equals(bytes)).toBe(true);
    expect(shown).toEqual([]);
  });

  it('keeps nothing of what is no event stream', () => {
    const bytes = Buffer.alloc(100_000, 'x');
    const { through, shown } = pass(bytes, [1, 7, 500]);
    expect(through.equals(bytes)).toBe(true);
    expect(shown).toEqual([]);
  });
});
