/** A processing tier whose price is a fraction of the standard one, for every kind of token. */
export interface Tier {
  /** As requests and answers name it; modifiers that multiply are joined by `+`. */
  readonly name: string;
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** The tiers that a provider sells a model at. */
export type TiersOf = (model: string) => readonly Tier[];
