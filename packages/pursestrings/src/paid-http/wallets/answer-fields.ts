/** An object of an answer, of which nothing is known. */
export type Fields = Readonly<Record<string, unknown>>;

/** An object of an answer; `{}` where there is none, so that each field is simply missing. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

/** A preimage or hash: 32 bytes in hex. Zeros stand for "none" in several wallets' answers. */
export function hexAt(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/i.test(value)) return undefined;
  return /^0+$/.test(value) ? undefined : value.toLowerCase();
}

/** A fee in millisatoshis, given as a number or in digits; wallets that book it negative mean it so. */
export function feeAt(value: unknown): number | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^-?\d{1,16}$/.test(text)) return undefined;
  const fee = Math.abs(Number(text));
  return Number.isSafeInteger(fee) ? fee : undefined;
}

/** A text that says something. */
export function textAt(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** The fee as a field, where there is one. */
export function feeField(feeMsat: number | undefined): { readonly feeMsat?: number } {
  return feeMsat === undefined ? {} : { feeMsat };
}
