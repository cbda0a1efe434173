/** The parts of the package `macaroon` that are used here; it brings no types. */
declare module 'macaroon' {
  export interface Macaroon {
    readonly identifier: Uint8Array;
    addFirstPartyCaveat(condition: string): void;
    exportBinary(): Uint8Array;
    /** @throws Error when the chain of HMACs or a caveat does not hold. */
    verify(rootKey: Uint8Array, check: (condition: string) => string | null): void;
  }
  export function newMacaroon(terms: {
    readonly identifier: Uint8Array;
    readonly location: string;
    readonly rootKey: Uint8Array;
    readonly version: 1 | 2;
  }): Macaroon;
  export function importMacaroon(bytes: Uint8Array): Macaroon;
}
