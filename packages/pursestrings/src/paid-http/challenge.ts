/** What a server asks for: an invoice to pay, and the token that the preimage makes valid. */
export interface Challenge {
  /** In which scheme the credential is answered. */
  readonly scheme: Scheme;
  /** The macaroon, or whatever else the server gave, as it came. */
  readonly token: string;
  readonly invoice: string;
}

/** The scheme's name, and its older one. */
export type Scheme = 'L402' | 'LSAT';

/** What came of looking for a challenge. */
export type FoundChallenge =
  | { readonly kind: 'found'; readonly challenge: Challenge }
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly why: string };

/** One challenge of a `WWW-Authenticate` header. */
export interface AuthChallenge {
  readonly scheme: string;
  /** By lower-case name. A name that came twice is not among them. */
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Finds the challenge in the headers of a 402: `L402` before `LSAT`, the first that can be read.
 *
 * @see https://github.com/lightninglabs/L402/blob/master/protocol-specification.md
 */
export function challengeInHeaders(headers: Headers): FoundChallenge {
  const text = headers.get('www-authenticate');
  if (text === null) return NONE;
  const all = parseAuthChallenges(text);
  let why: string | null = null;
  for (const scheme of ['L402', 'LSAT'] as const) {
    for (const each of all) {
      if (each.scheme.toUpperCase() !== scheme) continue;
      const found = readParameters(scheme, each.parameters);
      if (typeof found !== 'string') return { kind: 'found', challenge: found };
      why ??= found;
    }
  }
  return why === null ? NONE : { kind: 'unreadable', why };
}

/** Finds the challenge in the JSON body of a 402: it is one where there is a `macaroon`. */
export function challengeInBody(body: unknown): FoundChallenge {
  if (!isObject(body) || body['macaroon'] === undefined) return NONE;
  const { macaroon } = body;
  const invoice = body['invoice'] ?? body['paymentRequest'] ?? body['payment_request'];
  if (typeof macaroon !== 'string' || !TOKEN.test(macaroon)) {
    return { kind: 'unreadable', why: 'the macaroon in its body is no token' };
  }
  if (typeof invoice !== 'string' || invoice === '') {
    return { kind: 'unreadable', why: 'its body has a macaroon and no invoice' };
  }
  return { kind: 'found', challenge: { scheme: 'L402', token: macaroon, invoice } };
}

/** The price that a body states, in satoshis. */
export type StatedPrice =
  | { readonly kind: 'none' }
  | { readonly kind: 'price'; readonly sats: number }
  /** Something stands there that is no price. */
  | { readonly kind: 'nonsense'; readonly text: string };

/** Reads the price that a body states beside its invoice. */
export function statedPrice(body: unknown): StatedPrice {
  if (!isObject(body)) return NONE;
  const price = body['priceSats'];
  if (price === undefined || price === null) return NONE;
  const sats = typeof price === 'string' && price.trim() !== '' ? Number(price) : price;
  if (typeof sats === 'number' && Number.isFinite(sats) && sats > 0) return { kind: 'price', sats };
  return { kind: 'nonsense', text: JSON.stringify(price).slice(0, 40) };
}

/**
 * Takes a list of challenges apart: several in one header, tokens, quoted texts, blanks where they
 * may stand, and where some servers write them instead of commas. What cannot be read is left out,
 * up to the next comma.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseAuthChallenges(text: string): readonly AuthChallenge[] {
  const challenges: AuthChallenge[] = [];
  let current: Map<string, string> | null = null;
  let twice = new Set<string>();
  for (const part of listParts(text).flatMap(parameterParts)) {
    const parameter = PARAMETER.exec(part);
    if (parameter === null || (current === null && parameter.groups?.['scheme'] === undefined)) {
      // A scheme alone, or one with a token68, which is no parameter.
      const scheme = /^[!#$%&'*+.^_`|~\w-]+/.exec(part)?.[0];
      current = null;
      if (scheme !== undefined) challenges.push({ scheme, parameters: new Map() });
      continue;
    }
    const { scheme, name = '', quoted, plain = '' } = parameter.groups ?? {};
    if (scheme !== undefined || current === null) {
      current = new Map();
      twice = new Set();
      challenges.push({ scheme: scheme ?? '', parameters: current });
    }
    const key = name.toLowerCase();
    if (twice.has(key) || current.delete(key)) twice.add(key);
    else current.set(key, quoted === undefined ? plain : quoted.replaceAll(/\\(.)/gs, '$1'));
  }
  return challenges;
}

const NONE = { kind: 'none' } as const;

/** What may stand in an `Authorization` header as a token: RFC 9110's token68. */
const TOKEN = /^[\w.~+/-]+=*$/;

/** Begins by `scheme name="value"`, or by the next parameter of the same scheme. */
const PARAMETER =
  /^(?:(?<scheme>[!#$%&'*+.^_`|~\w-]+)[ \t]+)?(?<name>[!#$%&'*+.^_`|~\w-]+)[ \t]*=[ \t]*(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<plain>[^\s"=,][^\s",]*))(?=[ \t]|$)/s;

/** Splits a list at its commas, not at those within quotes. */
function listParts(text: string): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at <= text.length; at += 1) {
    const character = text[at];
    if (quoted && character === '\\') at += 1;
    else if (character === '"') quoted = !quoted;
    if (at < text.length && (quoted || character !== ',')) continue;
    const part = text.slice(start, at).trim();
    if (part !== '') parts.push(part);
    start = at + 1;
  }
  return parts;
}

/** Splits a part of a list where one parameter ends and the next one follows after blanks. */
function parameterParts(part: string): readonly string[] {
  const parts: string[] = [];
  let rest = part;
  while (rest !== '') {
    const [first = rest] = PARAMETER.exec(rest) ?? [];
    parts.push(first);
    rest = rest.slice(first.length).trimStart();
  }
  return parts;
}

function readParameters(
  scheme: Scheme,
  parameters: ReadonlyMap<string, string>,
): Challenge | string {
  const [macaroon, token] = [parameters.get('macaroon'), parameters.get('token')];
  const invoice = parameters.get('invoice') ?? '';
  const version = parameters.get('version') ?? '0';
  if (version !== '0') return `its version is ${JSON.stringify(version.slice(0, 20))}, not "0"`;
  if (macaroon !== undefined && token !== undefined && macaroon !== token) {
    return 'its macaroon and its token differ';
  }
  const given = (token ?? macaroon ?? '').trim();
  if (!TOKEN.test(given)) return given === '' ? 'it has no macaroon' : 'its macaroon is no token';
  if (invoice.trim() === '') return 'it has no invoice';
  return { scheme, token: given, invoice: invoice.trim() };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
