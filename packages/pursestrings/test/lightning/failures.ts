import type { L402PaymentError } from '../../src/paid-http/errors.ts';

/** What a promise is rejected with, by what matters of it; `paid` when it is not. */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'paid';
  } catch (error) {
    const { outcome, code } = error as L402PaymentError;
    return `${outcome} ${code}`;
  }
}
