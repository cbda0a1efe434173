import { randomBytes } from 'node:crypto';

/** Key prefixes that nobody else uses: each is an empty store. */
export interface FreshPrefixes {
  next(): string;
  /** What every one of them begins with. */
  readonly all: string;
}

export function freshPrefixes(): FreshPrefixes {
  const all = `test-${randomBytes(6).toString('hex')}`;
  let count = 0;
  return {
    all,
    next: () => {
      count += 1;
      return `${all}-${count}`;
    },
  };
}

/** Sends a command to one server. */
export type Command = (...command: string[]) => Promise<unknown>;

/** Removes everything that is kept under some prefixes, from one server. */
export async function removeAll(command: Command, { all }: FreshPrefixes): Promise<void> {
  const keys = (await command('KEYS', `${all}-*`)) as string[];
  for (const key of keys) await command('UNLINK', key);
}
