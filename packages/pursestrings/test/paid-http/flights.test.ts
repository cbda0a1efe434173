import { expect, test } from 'vitest';
import type { Credential } from '../../src/paid-http/credentials.ts';
import { Flights } from '../../src/paid-http/flights.ts';

const CREDENTIAL: Credential = { scheme: 'L402', token: 'a', preimage: 'ab'.repeat(32) };

/** Begins nothing before its end is told; gives up late, as who has money to give back first. */
function slowPayment(): {
  begin: (signal: AbortSignal) => Promise<Credential>;
  begun: number;
  end: (outcome: 'paid' | 'given up') => void;
} {
  const { promise: ended, resolve } = Promise.withResolvers<'paid' | 'given up'>();
  const payment = {
    begun: 0,
    begin: async (signal: AbortSignal): Promise<Credential> => {
      payment.begun += 1;
      if (payment.begun > 1) return CREDENTIAL;
      if ((await ended) === 'given up') throw signal.reason;
      return CREDENTIAL;
    },
    end: resolve,
  };
  return payment;
}

test.each([
  ['given up', 2],
  ['paid', 1],
] as const)(
  'who asks for a payment that was given up and ends %s has one',
  async (outcome, begun) => {
    const flights = new Flights();
    const payment = slowPayment();
    const controller = new AbortController();
    const first = flights.join('page', controller.signal, payment.begin);
    controller.abort(new Error('stop'));
    await expect(first).rejects.toThrow('stop');
    const second = flights.join('page', null, payment.begin);
    payment.end(outcome);
    expect(await second).toEqual({ credential: CREDENTIAL, mine: begun === 2 });
    expect(payment.begun).toBe(begun);
  },
);

test('who has given up before asking begins no payment', async () => {
  const payment = slowPayment();
  const signal = AbortSignal.abort(new Error('stop'));
  await expect(new Flights().join('page', signal, payment.begin)).rejects.toThrow('stop');
  expect(payment.begun).toBe(0);
});
