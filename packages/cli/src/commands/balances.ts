import type { Command } from 'commander';
import type { Balance, Purse } from 'pursestrings';
import { drawBar, formatPercent } from '../bars.ts';
import { formatCell, formatLabels, formatWindow } from '../format.ts';
import { InputError } from '../input-error.ts';
import { addLedgerCommand, examples, type LedgerOptions, withLedger } from '../ledger-access.ts';
import { collect, readLabels } from '../options.ts';
import { drawTable, firstRows, numbers } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface BalancesOptions extends LedgerOptions {
  readonly limit?: string;
  readonly label?: readonly string[];
}

const MOST_ROWS = 100;
const BAR_WIDTH = 20;

/** `purse balances`: what is left in each envelope, now. */
export function addBalances(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'balances', 'show how much of each limit is spent, held and left now')
    .option('--limit <name>', 'only the envelopes of this limit')
    .option('--label <name=value>', 'only envelopes with this label; may be repeated', collect)
    .addHelpText(
      'after',
      examples(
        ['purse balances --store sqlite:./purse.db', 'every envelope of the current windows'],
        ['purse balances -s sqlite:./purse.db --limit agent-day', 'one limit, for each agent'],
        ['purse balances -s sqlite:./purse.db --label agent=a1 --json', 'what agent a1 has left'],
      ),
    )
    .action(async (options: BalancesOptions) => {
      const labels = readLabels('--label', options.label ?? []);
      await withLedger(options, terminal, async (purse) => {
        if (options.limit !== undefined) await checkLimitName(purse, options.limit);
        const balances = await readBalances(purse, {
          ...(options.limit !== undefined && { limit: options.limit }),
          labels,
        });
        if (options.json) printJson(terminal, { balances });
        else printBalances(terminal, balances);
      });
    });
}

/**
 * Checks that the ledger has a limit.
 *
 * @throws InputError that names those it has.
 */
export async function checkLimitName(purse: Purse, name: string): Promise<void> {
  const names = (await purse.limits()).map((limit) => limit.name);
  if (names.includes(name)) return;
  const known = names.length === 0 ? 'it has none' : `it has ${names.slice(0, 20).join(', ')}`;
  throw new InputError(`The ledger has no limit ${JSON.stringify(name)}; ${known}.`, {
    code: 'NO_SUCH_LIMIT',
  });
}

/** Reads balances into a list. */
export async function readBalances(
  purse: Purse,
  query: { readonly limit?: string; readonly labels?: Readonly<Record<string, string>> },
): Promise<readonly Balance[]> {
  const balances: Balance[] = [];
  for await (const balance of purse.balances(query)) balances.push(balance);
  return balances;
}

/** Prints balances as a table, with a bar of what is spent. */
function printBalances(terminal: Terminal, balances: readonly Balance[]): void {
  if (balances.length === 0) {
    terminal.print('No envelope matches: no limit applies, or nothing was spent under one yet.');
    return;
  }
  const columns = [
    { title: 'limit' },
    { title: 'for' },
    { title: 'window (UTC)' },
    numbers('spent'),
    numbers('held'),
    numbers('left'),
    numbers('cap'),
    { title: 'used' },
  ];
  const rows = firstRows(terminal, balances, MOST_ROWS, 'envelopes').map((balance) => [
    balance.limit,
    formatLabels(balance.labels),
    formatWindow(balance.window.start, balance.window.end),
    formatCell(balance.unit, balance.spent),
    formatCell(balance.unit, balance.held),
    formatCell(balance.unit, balance.available),
    balance.unit === 'usd'
      ? formatCell(balance.unit, balance.cap)
      : `${formatCell(balance.unit, balance.cap)} ${balance.unit}`,
    `${drawBar(terminal, balance.fraction, BAR_WIDTH)} ${formatPercent(balance.fraction)}`,
  ]);
  terminal.print(drawTable(terminal, columns, rows));
}
