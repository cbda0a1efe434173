import type { Command } from 'commander';
import type { Freeze, Limit } from 'pursestrings';
import { formatLabels } from '../format.ts';
import { limitFromOptions, type LimitOptions, LIMIT_FIELDS_HELP } from '../limit-options.ts';
import { InputError } from '../input-error.ts';
import {
  addLedgerCommand,
  examples,
  type LedgerOptions,
  placeOf,
  withLedger,
  withPolicy,
} from '../ledger-access.ts';
import { namingFile, readLimitsFile } from '../limits-file.ts';
import { collect } from '../options.ts';
import { drawTable } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';
import { checkLimitName } from './balances.ts';

interface SetOptions extends LedgerOptions, LimitOptions {
  readonly file?: string;
}

/** `purse limits`, `purse limits set`, `purse limits remove`. */
export function addLimits(program: Command, terminal: Terminal): void {
  const limits = addLedgerCommand(program, 'limits', 'show the limits; set or remove them')
    .addHelpText(
      'after',
      examples(
        ['purse limits --store sqlite:./purse.db', 'the limits that the ledger has'],
        ['purse limits set -s sqlite:./purse.db --file limits.yaml', 'write those of a file'],
        [
          'purse limits set -s sqlite:./purse.db --name agent-day --cap usd=5 --per day --each agent',
          'at most $5 a day for each agent',
        ],
        ['purse limits remove agent-day -s sqlite:./purse.db', 'take one out'],
      ),
    )
    .action(async (options: LedgerOptions) => {
      await withLedger(options, terminal, async (purse) => {
        const [list, freezes] = [await purse.limits(), await purse.freezes()];
        if (options.json) printJson(terminal, { limits: list, freezes });
        else printLimits(terminal, list, freezes);
      });
    });
  addSet(limits, terminal);
  addRemove(limits, terminal);
}

function addSet(limits: Command, terminal: Terminal): void {
  addLedgerCommand(limits, 'set', 'write limits by name; those not named stay as they are')
    .option('-f, --file <file>', 'a limits file: `limits:` and a list, in YAML or JSON')
    .option('--name <name>', 'the name of the limit; one that stands is replaced')
    .option('--cap <unit=amount>', 'at most so much, such as usd=50; may be repeated', collect)
    .option('--per <period>', 'hour, day, week, month, year, total, or a length such as 5h or 30d')
    .option('--from <time>', 'the ISO time that a length such as 5h is counted from')
    .option(
      '--each <labels>',
      'one envelope for each value of these labels, such as agent',
      collect,
    )
    .option(
      '--where <name=value>',
      'only spends with this label; repeat it for more values',
      collect,
    )
    .option('--mode <mode>', 'hard denies, soft only warns (default: hard)')
    .option('--warn-at <fractions>', 'fractions of the cap to warn at, such as 0.5,0.9', collect)
    .option('--time-zone <zone>', 'the IANA zone of its windows, such as Europe/Berlin')
    .addHelpText(
      'after',
      examples(
        ['purse limits set -s sqlite:./purse.db --file limits.yaml', 'all or none of a file'],
        [
          'purse limits set -s sqlite:./purse.db --name all --cap usd=50 --cap calls=10000 --per day',
          'two caps that both hold; the store is made if there is none',
        ],
        [
          'purse limits set -s sqlite:./purse.db --name search --cap usd=9 --where team=search',
          'only what carries the label team=search',
        ],
        ['purse limits set --config purse.yaml', 'write the limits that the config file lists'],
      ) + LIMIT_FIELDS_HELP,
    )
    .action(async (_: unknown, command: Command) => {
      await setLimits(command.optsWithGlobals<SetOptions>(), terminal);
    });
}

async function setLimits(options: SetOptions, terminal: Terminal): Promise<void> {
  const place = placeOf(options);
  const { path, list } = limitsToSet(options, place.config?.limits);
  await namingFile(path, () => withPolicy(place, list, () => Promise.resolve()));
  const names = list.map((limit) => limit.name);
  if (options.json) printJson(terminal, { set: names });
  else terminal.print(`Set ${names.length === 1 ? 'limit' : 'limits'} ${names.join(', ')}.`);
}

/** The limits to write come from a file, from options, or from the config file: from one of them. */
function limitsToSet(
  options: SetOptions,
  configured: { readonly path: string; readonly list: readonly Limit[] } | undefined,
): { readonly path: string | null; readonly list: readonly Limit[] } {
  const limit = limitFromOptions(options);
  if (options.file !== undefined) {
    if (limit !== null) {
      throw new InputError('--file already says what the limits are; leave the other options out.');
    }
    return { path: options.file, list: readLimitsFile(options.file) };
  }
  if (limit !== null) return { path: null, list: [limit] };
  if (configured !== undefined) return configured;
  throw new InputError(
    'There is no limit to set; add --file limits.yaml, or --name with --cap, such as ' +
      '--name day --cap usd=50 --per day.',
  );
}

function addRemove(limits: Command, terminal: Terminal): void {
  addLedgerCommand(limits, 'remove', 'take a limit out; its balances return if it comes back')
    .argument('<name>', 'the name of the limit')
    .addHelpText(
      'after',
      examples(['purse limits remove agent-day -s sqlite:./purse.db', 'agent-day caps no more']),
    )
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<LedgerOptions>();
      await withLedger(options, terminal, async (purse) => {
        await checkLimitName(purse, name);
        await purse.removeLimit(name);
      });
      if (options.json) printJson(terminal, { removed: name });
      else terminal.print(`Removed limit ${name}.`);
    });
}

function printLimits(
  terminal: Terminal,
  limits: readonly Limit[],
  freezes: readonly Freeze[],
): void {
  for (const { where, reason } of freezes) {
    const why = reason === undefined ? '' : `: ${reason}`;
    terminal.print(
      terminal.paint('yellow', `Frozen: ${formatLabels(where) || 'every spend'}${why}`),
    );
  }
  if (limits.length === 0) {
    terminal.print('The ledger has no limits; a spend that no limit covers is denied.');
    return;
  }
  const columns = ['limit', 'cap', 'per', 'each', 'where', 'mode'].map((title) => ({ title }));
  const rows = limits.map((limit) => [
    limit.name,
    Object.entries(limit.cap)
      .map(([unit, amount]) => (unit === 'usd' ? `$${amount}` : `${amount} ${unit}`))
      .join(', '),
    describePeriod(limit),
    (limit.each ?? []).join(', '),
    Object.entries(limit.where ?? {})
      .map(([label, value]) => `${label}=${typeof value === 'string' ? value : value.join('|')}`)
      .join(' '),
    limit.mode ?? 'hard',
  ]);
  terminal.print(drawTable(terminal, columns, rows));
}

function describePeriod(limit: Limit): string {
  const per = limit.per ?? 'total';
  const text = typeof per === 'string' ? per : per.every;
  return limit.timeZone === undefined ? text : `${text} (${limit.timeZone})`;
}
