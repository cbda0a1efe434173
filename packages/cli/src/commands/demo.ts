import type { Command } from 'commander';
import type { DemoOptions } from '../demo/perform.ts';
import { addLedgerCommand, examples } from '../ledger-access.ts';
import type { Terminal } from '../terminal.ts';

const DETAILS = `
The demo makes a SQLite ledger in a directory for temporary files, starts a provider in this
process that speaks OpenAI's format and keeps a bill of its own, and lets 20 agents spend until
their caps stop them. They also buy forecasts from an API that asks for money over Lightning (L402),
in satoshis, with a wallet and a bill of its own. One of the agents runs as its own process and is killed in the middle of a stream.
Then it holds the ledger against both bills. Status 0 means that no cap was passed and no spend was
lost; 1 that the promise did not hold.

--live calls OpenAI with the key in OPENAI_API_KEY, under a cap of 3 cents in all. OpenAI shows no
bill to compare with, so what its answers report is all there is.
`;

/** `purse demo`: the promise, kept before your eyes. */
export function addDemo(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'demo', 'let 20 agents loose on one purse, and compare with the bill')
    .option('--live', 'call OpenAI, for a few cents at most (needs OPENAI_API_KEY)')
    .addHelpText(
      'after',
      examples(
        ['purse demo', 'takes a few seconds, costs nothing, needs no network'],
        ['purse demo --store sqlite:./demo.db', 'keep the ledger here'],
        ['OPENAI_API_KEY=… purse demo --live', 'real calls, under a cap of 3 cents'],
      ) + DETAILS,
    )
    .action(async (options: DemoOptions) => {
      // Only the demo needs an SDK and a provider; no other command waits for them to load.
      const { performDemo } = await import('../demo/perform.ts');
      if (!(await performDemo(options, terminal))) terminal.answerNo();
    });
}
