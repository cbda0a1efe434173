import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { JsonArrayFilter } from '../../src/llm/streams/json-array-filter.ts';
import { openFilter } from '../../src/llm/streams/stream-filter.ts';

/** Feeds bytes cut at these places; gives what came through, and what was shown. */
function pass(bytes: Buffer, cuts: readonly number[]): { through: Buffer; shown: unknown[] } {
  const shown: unknown[] = [];
  const filter = new JsonArrayFilter({
    read: (data) => (shown.push(JSON.parse(Buffer.from(data, 'latin1').toString())), false),
  });
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

describe('JsonArrayFilter', () => {
  const element = fc.dictionary(fc.string(), fc.jsonValue());
  const cuts = fc.array(fc.nat(), { maxLength: 20 });

  it('passes every byte and shows every element, however the network cuts them', () => {
    fc.assert(
      fc.property(fc.array(element), fc.constantFrom(0, 2), cuts, (elements, indent, places) => {
        const whole = elements.map((each) => JSON.parse(JSON.stringify(each)) as unknown);
        const bytes = Buffer.from(JSON.stringify(whole, null, indent));
        const { through, shown } = pass(bytes, places);
        expect(through.equals(bytes)).toBe(true);
        expect(shown).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  it('passes what is no JSON', () => {
    const bytes = Buffer.from(']]}{"\\"');
    expect(pass(bytes, [1, 2, 3]).through.equals(bytes)).toBe(true);
  });
});

describe('openFilter', () => {
  const read = (): boolean => false;

  it('takes an array only where a stream was asked for that may be one', () => {
    const json = 'application/json; charset=UTF-8';
    expect(openFilter(json, { read, takesArray: true }, true)).toBeInstanceOf(JsonArrayFilter);
    expect(openFilter(json, { read, takesArray: true }, false)).toBeNull();
    expect(openFilter(json, { read }, true)).toBeNull();
  });
});
