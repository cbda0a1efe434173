/** One request that a wallet made. */
export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** What is answered: a status and a body, which is JSON unless it is a text. */
export type Canned = readonly [status: number, body: unknown];

/** A `fetch` that answers in turn what it was given, and keeps what was asked. */
export function canned(...answers: readonly Canned[]): typeof fetch & { readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const send: typeof fetch = async (input, init = {}) => {
    const request = new Request(input, init);
    const text = await request.text();
    sent.push({
      method: request.method,
      url: request.url,
      headers: Object.fromEntries(request.headers),
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
    });
    const answer = answers[sent.length - 1];
    if (answer === undefined) throw new TypeError('fetch failed');
    const [status, body] = answer;
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status });
  };
  return Object.assign(send, { sent });
}

/** An invoice on mainnet, and its payment hash. The preimage is not that of the hash: see paidFetch. */
export const invoice =
  'lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpuaztrnwngzn3kdzw5hydlzf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9zw97j25emudupq63nyw24cg27h2rspfj9srp';
export const invoiceHash = '0001020304050607080900010203040506070809000102030405060708090102';
export const preimage = '11'.repeat(32);
