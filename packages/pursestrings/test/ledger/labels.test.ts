import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidLabelError } from '../../src/ledger/invalid.ts';
import {
  carries,
  type Labels,
  labelSet,
  labelSetFromKey,
  labelValue,
  MAX_LABEL_NAME_LENGTH,
  MAX_LABEL_VALUE_LENGTH,
  MAX_LABELS,
} from '../../src/ledger/labels.ts';
import { keyPart } from '../../src/ledger/limit.ts';
import { envelopeKey, envelopeLabels } from '../../src/ledger/plan.ts';

/** Text made of what a key is built with, and of what such text is escaped with. */
const nasty = fc
  .array(
    fc.constantFrom('|', '%', '7', 'C', '25', ',', ';', '=', '"', '\\', '\0', 'a', 'é', '😀', ''),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''));
const name = fc.oneof(
  nasty.filter((text) => text !== ''),
  fc.constantFrom('__proto__', 'constructor', 'toJSON', 'toString', '10', '9', '(other)'),
);
const pairs = fc.uniqueArray(fc.tuple(name, nasty), { selector: ([label]) => label, maxLength: 5 });

describe('the key of labels', () => {
  it('is the same for equal labels, in any order, and reads back as those', () => {
    fc.assert(
      fc.property(pairs, (entries) => {
        const set = labelSet(Object.fromEntries(entries));
        const turned = labelSet(Object.fromEntries(entries.toReversed()));
        expect(turned.key).toBe(set.key);
        const read = labelSetFromKey(set.key);
        expect(read.key).toBe(set.key);
        expect(labelSet(read.labels).key).toBe(set.key);
        expect(Object.keys(read.labels)).toHaveLength(entries.length);
        for (const [label, value] of entries) expect(labelValue(read.labels, label)).toBe(value);
      }),
      { numRuns: 1000 },
    );
  });

  it('reads back names with escapes, whatever JSON was read before', () => {
    const names = ['\0', '"', '\n', '\\', '\\|', 'a"', '__proto__\\'];
    for (const [index, label] of names.entries()) {
      // nodejs/node#63785: Node 24 takes the next property after `before` for this one's.
      const before = `"before ${index}":"x"`;
      JSON.parse(`{${before},"${label.startsWith('a') ? 'a' : ''}\\\\":""}`);
      const { labels } = labelSetFromKey(`{${before},${JSON.stringify(label)}:"x\\"\\\\"}`);
      expect(Object.entries(labels)).toEqual([
        [`before ${index}`, 'x'],
        [label, 'x"\\'],
      ]);
    }
  });

  it('cannot be forged: different labels never share one', () => {
    const canonical = (entries: readonly (readonly [string, string])[]) =>
      entries
        .map(([label, value]) => `${label.length}:${label}${value.length}:${value}`)
        .sort()
        .join('');
    fc.assert(
      fc.property(pairs, pairs, (a, b) => {
        const same = canonical(a) === canonical(b);
        expect(labelSet(Object.fromEntries(a)).key === labelSet(Object.fromEntries(b)).key).toBe(
          same,
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the key of an envelope', () => {
  it('cannot be forged: different values never share one', () => {
    const values = fc.array(nasty, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const same = a.length === b.length && a.every((value, index) => value === b[index]);
        expect(envelopeKey('g', a) === envelopeKey('g', b)).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps every separator out of its parts', () => {
    fc.assert(fc.property(nasty, (value) => !/[|,;=]/.test(keyPart(value))));
    expect(envelopeKey('g', ['a|x'])).not.toBe(envelopeKey('g', ['a', 'x']));
    expect(keyPart('a%7Cx')).not.toBe(keyPart('a|x'));
  });
});

describe('labelSet', () => {
  it('keeps a label named __proto__ as a label', () => {
    const labels = JSON.parse('{ "__proto__": "p", "a": "1" }') as Labels;
    const set = labelSet(labels);
    expect(Object.keys(set.labels).sort()).toEqual(['__proto__', 'a']);
    expect(labelValue(set.labels, '__proto__')).toBe('p');
    expect(Object.getPrototypeOf(set.labels)).toBe(Object.prototype);
    expect(labelValue({}, '__proto__')).toBe('');
    expect(labelValue({}, 'constructor')).toBe('');
    expect(envelopeLabels(['__proto__'], ['p'])).toEqual(JSON.parse('{ "__proto__": "p" }'));
  });

  it('copies: what the caller changes later does not change a spend', () => {
    const labels: Record<string, string> = { agent: 'a1' };
    const set = labelSet(labels);
    labels['agent'] = 'a2';
    expect(set.labels).toEqual({ agent: 'a1' });
  });

  it('counts undefined as absent', () => {
    const labels = { agent: undefined, task: 't' } as unknown as Labels;
    expect(labelSet(labels)).toEqual(labelSet({ task: 't' }));
  });

  it.each<[string, unknown]>([
    ['a number', { agent: 1 }],
    ['null', { agent: null }],
    ['a bigint', { agent: 1n }],
    ['an object', { agent: Object.create(null) }],
    ['a symbol', { agent: Symbol('a') }],
    ['a lone high surrogate', { agent: 'a\uD800' }],
    ['a lone low surrogate', { agent: '\uDC00a' }],
    ['a name with a lone surrogate', { 'a\uD800': 'x' }],
    ['an empty name', { '': 'x' }],
    ['a long name', { ['n'.repeat(MAX_LABEL_NAME_LENGTH + 1)]: 'x' }],
    ['a long value', { agent: 'v'.repeat(MAX_LABEL_VALUE_LENGTH + 1) }],
    ['a list', ['a']],
    ['null for labels', null],
    ['text for labels', 'agent=a1'],
    [
      'too many',
      Object.fromEntries(Array.from({ length: MAX_LABELS + 1 }, (_, index) => [`l${index}`, 'v'])),
    ],
  ])('refuses %s', (_, labels) => {
    expect(() => labelSet(labels as Labels)).toThrow(InvalidLabelError);
  });

  it('keeps labels at the bounds', () => {
    const at = Object.fromEntries(
      Array.from({ length: MAX_LABELS }, (_, index) => [
        `${index}`.padStart(MAX_LABEL_NAME_LENGTH, 'n'),
        'v'.repeat(MAX_LABEL_VALUE_LENGTH),
      ]),
    );
    expect(labelSet(at).labels).toEqual(at);
  });
});

describe('carries', () => {
  it('asks for every label, and a missing one counts as the empty value', () => {
    expect(carries({ a: '1', b: '2' }, { a: '1' })).toBe(true);
    expect(carries({ a: '1' }, { a: '1', b: '2' })).toBe(false);
    expect(carries({}, { a: '' })).toBe(true);
    expect(carries({ a: '1' }, { a: '' })).toBe(false);
    expect(carries({}, {})).toBe(true);
    expect(carries({}, JSON.parse('{ "__proto__": "x" }') as Labels)).toBe(false);
  });
});
