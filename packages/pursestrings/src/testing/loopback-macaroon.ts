import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a macaroon says. Its signature is not part of it, but follows from the root key. */
export interface MacaroonTerms {
  readonly location: string;
  readonly identifier: Buffer;
  readonly caveats: readonly string[];
}

/** Fields of the binary form, version 2. */
const FIELDS = { end: 0, location: 1, identifier: 2, signature: 6 } as const;

/**
 * Mints a macaroon in the binary form of version 2, in base64, as L402 servers send it.
 *
 * @see https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt
 */
export function mintMacaroon(terms: MacaroonTerms, rootKey: Buffer): string {
  const { location, identifier, caveats } = terms;
  return Buffer.concat([
    Buffer.of(2),
    packet(FIELDS.location, Buffer.from(location)),
    packet(FIELDS.identifier, identifier),
    Buffer.of(FIELDS.end),
    ...caveats.flatMap((caveat) => [
      packet(FIELDS.identifier, Buffer.from(caveat)),
      Buffer.of(FIELDS.end),
    ]),
    Buffer.of(FIELDS.end),
    packet(FIELDS.signature, signatureOf(terms, rootKey)),
  ]).toString('base64');
}

/** True for the very macaroon that was minted of these terms with this key. */
export function isMacaroonOf(token: string, terms: MacaroonTerms, rootKey: Buffer): boolean {
  const [given, minted] = [token, mintMacaroon(terms, rootKey)].map((text) =>
    Buffer.from(text, 'base64'),
  );
  return (
    given?.length === minted?.length &&
    timingSafeEqual(given ?? Buffer.of(), minted ?? Buffer.of(1))
  );
}

/** Each caveat is signed with the signature before it: caveats can be added, and never taken away. */
function signatureOf({ identifier, caveats }: MacaroonTerms, rootKey: Buffer): Buffer {
  const key = hmac('macaroons-key-generator', rootKey);
  return caveats.reduce((signature, caveat) => hmac(signature, caveat), hmac(key, identifier));
}

function hmac(key: string | Buffer, message: string | Buffer): Buffer {
  return createHmac('sha256', key).update(message).digest();
}

function packet(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type), varint(data.length), data]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.of(...bytes, rest);
}
