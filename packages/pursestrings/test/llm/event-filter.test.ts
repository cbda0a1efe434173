import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { openaiChat } from '../../src/llm/providers/openai/chat.ts';
import { EventFilter } from '../../src/llm/streams/event-filter.ts';

const USAGE = '{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}';

function reader(usageAsked: boolean): ReturnType<typeof openaiChat.openStream> {
  const options = { include_usage: usageAsked };
  const body = { model: 'gpt-4o', messages: [], stream: true, stream_options: options };
  const shape = openaiChat.readCall(body, null);
  if (shape === null) throw new Error('The request was not read');
  return openaiChat.openStream(shape, null);
}

/** Feeds bytes cut at these places, and gives what came through. */
function pass(filter: EventFilter, bytes: Buffer, cuts: readonly number[]): Buffer {
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length];
  const ordered = places.toSorted((a, b) => a - b);
  const passed = ordered.slice(1).flatMap((end, index) => {
    // A copy, as the network gives: its buffer holds nothing else.
    return filter.pass(new Uint8Array(bytes.subarray(ordered[index], end)));
  });
  return Buffer.concat([...passed, filter.rest()]);
}

describe('EventFilter', () => {
  const delta = fc
    .record({ content: fc.string({ unit: 'grapheme', maxLength: 30 }) })
    .map(
      (each) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: each }], usage: null })}`,
    );
  const other = fc.constantFrom(
    ': ping',
    'event: x\ndata: {}',
    'retry: 5',
    'data: [1,\ndata: 2]',
    '',
  );
  const ends = fc.constantFrom('\n\n', '\r\n\r\n', '\r\r');
  const cuts = fc.array(fc.nat(), { maxLength: 12 });

  it('passes every byte but those of the hidden usage, however the network cuts them', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(delta, other)), ends, cuts, (events, end, places) => {
        const write = (parts: readonly string[]): Buffer =>
          Buffer.from(
            parts.map((part) => part.replaceAll('\n', end.slice(0, end.length / 2)) + end).join(''),
          );
        const all = write([...events, `data: ${USAGE}`, 'data: [DONE]']);
        const stream = reader(false);
        const passed = pass(new EventFilter(stream), all, places);
        expect(passed.toString()).toBe(write([...events, 'data: [DONE]']).toString());
        expect(stream.usage()).toMatchObject({ inputTokens: 7, outputTokens: 3 });
        expect(stream.complete()).toBe(true);
        const open = pass(new EventFilter(reader(true)), all, places);
        expect(open.equals(all)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('passes a chunk of whole events as it came, without a copy', () => {
    const chunk = new TextEncoder().encode('data: {"a":1}\n\ndata: {"b":2}\n\n');
    expect(new EventFilter(reader(false)).pass(chunk)).toEqual([chunk]);
    expect(new EventFilter(reader(false)).pass(chunk)[0]).toBe(chunk);
  });

  it('gives back an event that was never completed', () => {
    const filter = new EventFilter(reader(false));
    expect(filter.pass(Buffer.from('data: {"a"'))).toEqual([]);
    expect(Buffer.from(filter.rest()).toString()).toBe('data: {"a"');
  });

  it('keeps no event that is longer than its bound', () => {
    const filter = new EventFilter(reader(false));
    let passed = 0;
    for (let sent = 0; sent < 12; sent += 1) {
      for (const piece of filter.pass(Buffer.alloc(1_048_576, 'x'))) passed += piece.length;
    }
    expect(passed).toBeGreaterThan(8_388_608);
  });

  it('does not hide a usage that rides on the last piece of text', () => {
    const text = `data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n`;
    const stream = reader(false);
    expect(pass(new EventFilter(stream), Buffer.from(text), []).toString()).toBe(text);
    expect(stream.usage()).not.toBeNull();
    expect(stream.tokensSeen()).toBe(1);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])('reads an event of many chunks, cut %i bytes off', (shift) => {
    const seen: string[] = [];
    const filter = new EventFilter({ read: (data) => (seen.push(data), false) });
    const long = `{"b64":"${'A'.repeat(100_000)}"}`;
    const bytes = Buffer.from(`data: ${long}\r\n\r\ndata: 2\r\rdata: 3\n\n`);
    const cuts = Array.from({ length: 2_000 }, (_, index) => index * 64 + shift);
    const all = [...cuts, ...cuts.slice(-4).flatMap((cut) => [cut - 1, cut - 2, cut - 3])];
    expect(pass(filter, bytes, all).equals(bytes)).toBe(true);
    expect(seen).toEqual([long, '2', '3']);
  });

  it('reads what came of an event once, however many chunks it has', () => {
    const filter = new EventFilter({ read: () => false });
    const scanned = vi.spyOn(RegExp.prototype, 'test');
    onTestFinished(() => scanned.mockRestore());
    const chunk = Buffer.from('A'.repeat(1_024));
    for (let sent = 0; sent < 256; sent += 1) filter.pass(Buffer.from(chunk));
    const lengths = scanned.mock.calls.map(([text]) => text.length);
    expect(Math.max(...lengths)).toBeLessThan(2 * chunk.length);
  });
});
