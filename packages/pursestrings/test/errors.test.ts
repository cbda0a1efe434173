import { describe, expect, it } from 'vitest';

import type { Denial } from '../src/denial.ts';
import { BudgetExceededError } from '../src/errors.ts';

const DENIAL: Denial = {
  reason: 'exceeds',
  limit: 'daily',
  unit: 'usd',
  labels: {},
  cap: 5,
  spent: 4,
  held: 0.5,
  requested: 1,
  available: 0.5,
  resetsAt: new Date('2026-11-23T00:00:00Z'),
  message: 'The limit "daily" has $0.5 left, and this asks for $1',
};
const DENIED = new BudgetExceededError([DENIAL]);
const BODY = JSON.stringify({ error: { message: 'no', denial: DENIAL, denials: [DENIAL] } });

/** An error with something in a place of it. */
function having(place: string, value: unknown): Error {
  return Object.assign(new Error('It failed'), { [place]: value });
}

function expectFound(error: unknown): void {
  const found = BudgetExceededError.from(error);
  expect(found?.denial).toEqual(DENIAL);
  expect(found?.remaining).toBe(0.5);
}

describe('BudgetExceededError.from', () => {
  it('finds the error itself, and keeps it', () => {
    expect(BudgetExceededError.from(DENIED)).toBe(DENIED);
    expect(BudgetExceededError.from(new Error('It failed', { cause: DENIED }))).toBe(DENIED);
    expect(BudgetExceededError.from(new AggregateError([new Error('no'), DENIED]))).toBe(DENIED);
  });

  it.each([
    'cause',
    'error',
    'body',
    'response',
    'data',
    'details',
    'metadata',
    'responseBody',
    'lastError',
    'originalError',
    'rawError',
    'innerError',
    'parent',
    'reason',
  ])('finds it under `%s`, as it is, parsed and written', (place) => {
    expectFound(having(place, DENIED));
    expectFound(having(place, JSON.parse(BODY)));
    expectFound(having(place, BODY));
    expectFound(having(place, having('errors', [new Error('other'), having(place, BODY)])));
  });

  it.each([
    ['the body alone', BODY],
    ['the status before it', `402 ${BODY}`],
    ['a sentence before it', `got status: 402 Payment Required. ${BODY}`],
    ['a sentence around it', `The model said ${BODY}, so it failed`],
    ['the body in another', JSON.stringify({ error: { message: BODY, code: 402 } })],
    ['the body in two others', JSON.stringify({ message: JSON.stringify({ message: BODY }) })],
  ])('finds it in a message that holds %s', (_, message) => {
    expectFound(new Error(message));
    expectFound(new Error('It failed', { cause: new Error(message) }));
  });

  it('finds it in a list of details, and in an error as it is written', () => {
    const details = [{ '@type': 'x' }, { denial: DENIAL, denials: [DENIAL] }];
    expectFound({ error: { code: 402, details } });
    expectFound(JSON.parse(JSON.stringify({ denial: DENIAL })));
  });

  it.each([
    [null],
    [undefined],
    [402],
    ['402 Payment Required'],
    [new Error('"denial"')],
    [new Error('{"denial": broken}')],
    [having('denial', { reason: 'exceeds' })],
    [having('denials', [])],
    [{ details: [[[{}]]] }],
  ])('finds none in %s', (error) => {
    expect(BudgetExceededError.from(error)).toBeNull();
  });

  it('survives what goes round in circles, is deep, or throws', () => {
    const circle: { cause?: unknown; parent?: unknown } = {};
    circle.cause = circle;
    circle.parent = [circle];
    expect(BudgetExceededError.from(circle)).toBeNull();
    let deep: unknown = DENIED;
    for (let depth = 0; depth < 50; depth += 1) deep = { cause: deep };
    expect(BudgetExceededError.from(deep)).toBeNull();
    const throws = {
      get body(): never {
        throw new Error('no');
      },
      cause: DENIED,
    };
    expect(BudgetExceededError.from(throws)).toBe(DENIED);
  });
});
