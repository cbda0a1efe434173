import { InvalidOptionError, shown } from '../ledger/invalid.ts';

/** Checks an option that is one of a few words, or left out. */
export function checkChoice(name: string, value: unknown, choices: readonly string[]): void {
  if (value === undefined || choices.includes(value as string)) return;
  const words = choices.map((choice) => `'${choice}'`).join(' or ');
  throw new InvalidOptionError(`\`${name}\` is ${shown(value)}; it must be ${words}`);
}

/** Checks the option `outputCeiling`: whole tokens from 1, or left out. */
export function checkOutputCeiling(value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return;
  throw new InvalidOptionError(`\`outputCeiling\` is ${value}; it must be a whole number from 1`);
}
