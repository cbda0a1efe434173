import type { Command } from 'commander';
import { addLedgerCommand, examples } from '../ledger-access.ts';
import { collect } from '../options.ts';
import { printReplay } from '../replay-answer.ts';
import type { ReplayOptions } from '../replay-run.ts';
import { printJson, type Terminal } from '../terminal.ts';

const DETAILS = `
The trace is a CSV with a header. Known are the columns of the Azure LLM inference traces
(TIMESTAMP, ContextTokens, GeneratedTokens) and of BurstGPT (Timestamp, Model, Request tokens,
Response tokens); name others with --columns. A time without a zone is UTC, a bare number is
seconds from the start. A model column goes before --model.

Each request is held at its real cost and settled at once, in the file's order, each at its own
time: a row that is earlier than the one before it moves the clock back. Windows that have been
closed for a day are forgotten, so sort a trace that jumps back further; purse says if it does.
A request that no limit covers is admitted. Rows that are no requests are counted and named.

Without --store the ledger lives in memory and is gone afterwards. With --store it is filled, and
\`purse report\`, \`purse verify\` and the rest work on it. --config gives limits, units, prices,
the time zone, and the store, as long as that has no charges yet: a trace is not mixed by chance
with real spends.
`;

/** `purse replay`: what would these limits have done to this traffic? */
export function addReplay(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'replay', 'run recorded traffic against limits, on its own clock')
    .argument('<trace>', 'a CSV file of requests: time, prompt tokens, completion tokens')
    .option('-l, --limits <file>', 'the limits file to try')
    .option('-m, --model <name>', 'the model of rows that name none, such as gpt-4o')
    .option(
      '-p, --prices <file>',
      'a price book, in YAML or JSON, that goes before the known prices',
    )
    .option('--columns <map>', 'columns by name: time=…,prompt=…,completion=…,model=…', collect)
    .addHelpText(
      'after',
      examples(
        ['purse replay trace.csv --limits limits.yaml --model gpt-4o', 'when would each cap bite?'],
        [
          'purse replay calls.csv -l limits.yaml -m gpt-4o --columns time=at,prompt=in,completion=out',
          'a file of your own',
        ],
        [
          'purse replay trace.csv -l limits.yaml -m gpt-4o --store sqlite:./what-if.db',
          'keep the ledger, to look into it afterwards',
        ],
      ) + DETAILS,
    )
    .action(async (path: string, options: ReplayOptions) => {
      // The prices take a while to load, and no other command needs them.
      const { runReplay } = await import('../replay-run.ts');
      const result = await runReplay(path, options, terminal);
      if (options.json) printJson(terminal, result);
      else printReplay(terminal, path, result);
    });
}
