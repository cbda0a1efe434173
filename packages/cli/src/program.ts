import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { PurseError } from 'pursestrings';
import { addBalances } from './commands/balances.ts';
import { addDemo } from './commands/demo.ts';
import { addExport } from './commands/export.ts';
import { addFetch } from './commands/fetch.ts';
import { addFreeze, addUnfreeze } from './commands/freeze.ts';
import { addHolds } from './commands/holds.ts';
import { addImport } from './commands/import.ts';
import { addLimits } from './commands/limits.ts';
import { addPrices } from './commands/prices.ts';
import { addReplay } from './commands/replay.ts';
import { addReport } from './commands/report.ts';
import { addVerify } from './commands/verify.ts';
import { InputError, messageOf } from './input-error.ts';
import type { Terminal } from './terminal.ts';

const HELP = `
A ledger is named by --store, such as sqlite:./purse.db, redis://host:6379 or
postgres://user@host/database, or by a config file: --config purse.yaml, or the
purse.yaml in the working directory. A config file may say store, ledger, timeZone, units, limits
(a list, or the path of a limits file), prices (the path of a price book) and wallet (see fetch).

Start here:
  $ purse demo
      20 agents, one purse, a provider's bill to compare with; takes a few seconds
  $ purse replay trace.csv --limits limits.yaml --model gpt-4o
      what would these limits have done to that traffic?
  $ purse limits set --store sqlite:./purse.db --name day --cap usd=50 --per day
      make a ledger and its first limit

  $ purse export -s sqlite:./purse.db | purse import - -s redis://localhost:6379
      move a ledger to a store that many machines share

Status 0: done. 1: the answer is no, such as a ledger that does not add up. 2: misuse.
`;

/**
 * Runs the command line.
 *
 * @returns the status to end with: 0, 1 for a refusal, 2 for misuse. Where the answer itself is no,
 *   `terminal.answerNo` is told so.
 */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await makeProgram(terminal).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    return report(error, terminal, argv.includes('--json'));
  }
}

function makeProgram(terminal: Terminal): Command {
  const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
  const program = new Command('purse')
    .description('Spend control for AI agents: limits, balances, and what was spent.')
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    // What is wrong is reported in one place, `report`, and in one form.
    .configureOutput({
      writeOut: (text) => terminal.print(text.trimEnd()),
      writeErr: (text) => terminal.note(text.trimEnd()),
      outputError: () => {},
    })
    .configureHelp({ sortSubcommands: false, helpWidth: terminal.columns })
    .addHelpText('after', HELP);
  addDemo(program, terminal);
  addReplay(program, terminal);
  addReport(program, terminal);
  addBalances(program, terminal);
  addHolds(program, terminal);
  addLimits(program, terminal);
  addFreeze(program, terminal);
  addUnfreeze(program, terminal);
  addVerify(program, terminal);
  addExport(program, terminal);
  addImport(program, terminal);
  addPrices(program, terminal);
  addFetch(program, terminal);
  return program;
}

/** Says what went wrong, on stderr, and gives the status to end with. */
function report(error: unknown, terminal: Terminal, json: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const { code, message } = describe(error);
  terminal.note(json ? JSON.stringify({ error: { code, message } }) : `purse: ${message}`);
  const refused = REFUSALS.has(code) || (error instanceof Error && REFUSED_BY.has(error.name));
  return refused ? 1 : 2;
}

/** What is no misuse: the command was understood, and the ledger says no. */
const REFUSALS: ReadonlySet<string> = new Set([
  'IMPORT_FAILED',
  'LEDGER_CHANGED',
  'OPEN_HOLDS',
  'OVER_MAX_SATS',
  'UNREACHABLE',
]);

/** Errors by which a spend or a payment is refused. */
const REFUSED_BY: ReadonlySet<string> = new Set([
  'BudgetExceededError',
  'L402ParseError',
  'L402PaymentError',
]);

function describe(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof CommanderError) return describeMisuse(error);
  if (error instanceof InputError || PurseError.isInstance(error)) {
    return { code: error.code, message: messageOf(error) };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'UNEXPECTED', message: `This is a defect of purse; please report it. ${stack}` };
}

/** Commander's messages begin with `error:`, and `purse` alone has printed its help already. */
function describeMisuse(error: CommanderError): {
  readonly code: string;
  readonly message: string;
} {
  if (error.code === 'commander.help') {
    return { code: 'MISUSE', message: 'Name a command, such as purse demo.' };
  }
  const message = messageOf(error).replace(/^error: /, '');
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}`;
  return { code: 'MISUSE', message: `${sentence.replace(/[.?)]?$/, '$&')}; see purse --help.` };
}
