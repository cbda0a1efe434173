import type { Command } from 'commander';
import type { DescribedRates, ListedModel, PriceDescription, PriceStep } from 'pursestrings/llm';
import { findConfig } from '../config.ts';
import { formatCount } from '../format.ts';
import { addLedgerCommand, examples, type LedgerOptions } from '../ledger-access.ts';
import { drawTable, numbers } from '../table.ts';
import { printJson, type Terminal } from '../terminal.ts';

interface PricesOptions extends LedgerOptions {
  readonly url?: string;
  readonly prices?: string;
}

/** A model that was asked for, and its price. */
interface Found extends PriceDescription {
  readonly asked: string;
}

/** A model that was asked for and has no price, and models with a name like it. */
interface Unknown {
  readonly asked: string;
  readonly similar: readonly ListedModel[];
}

interface Answer {
  readonly prices: readonly Found[];
  readonly unknown: readonly Unknown[];
}

const DETAILS = `
These are the prices that calls are held and charged at: those of the price book come first (from
--prices, or \`prices\` in the config file), then the list that the library brings. A host may have
prices of its own, so give --url where your calls go. No ledger is opened.

Status 1 means that a model has no price: a call of it would be refused.
`;

/** `purse prices`: what a model costs, and where that comes from. */
export function addPrices(program: Command, terminal: Terminal): void {
  addLedgerCommand(program, 'prices', 'show what models cost, and where that comes from')
    .argument('<models...>', 'names of models, as requests carry them')
    .option('-u, --url <url>', 'where the calls go, such as https://api.openai.com/v1')
    .option(
      '-p, --prices <file>',
      'a price book, in YAML or JSON, that goes before the known prices',
    )
    .addHelpText(
      'after',
      examples(
        ['purse prices gpt-5', 'every rate of one model'],
        ['purse prices gpt-5 claude-sonnet-4-5 gemini-2.5-pro', 'several, side by side'],
        ['purse prices gpt-4o --url https://eu.api.openai.com/v1 --json', 'at one host'],
      ) + DETAILS,
    )
    .action(async (models: readonly string[], options: PricesOptions) => {
      const answer = await lookUp(models, options);
      if (answer.unknown.length > 0) terminal.answerNo();
      if (options.json) printJson(terminal, answer);
      else printAnswer(terminal, answer, options.url);
    });
}

async function lookUp(models: readonly string[], options: PricesOptions): Promise<Answer> {
  const { store, config, url } = options;
  const path = options.prices ?? (store === undefined ? findConfig(config)?.prices : undefined);
  // The prices take a while to load, and few other commands need them.
  const { describePrice, similarModels } = await import('pursestrings/llm');
  const { readPricesFile } = await import('../pricing.ts');
  const where = {
    ...(url !== undefined && { url }),
    ...(path !== undefined && { prices: readPricesFile(path) }),
  };
  const prices: Found[] = [];
  const unknown: Unknown[] = [];
  for (const asked of new Set(models)) {
    const price = describePrice(asked, where);
    if (price === null) unknown.push({ asked, similar: similarModels(asked) });
    else prices.push({ asked, ...price });
  }
  return { prices, unknown };
}

function printAnswer(
  terminal: Terminal,
  { prices, unknown }: Answer,
  url: string | undefined,
): void {
  const [only, ...others] = prices;
  if (only !== undefined && others.length + unknown.length === 0) printOne(terminal, only);
  else if (only !== undefined) printSeveral(terminal, prices);
  for (const model of unknown) terminal.note(`purse: ${whyUnknown(model, url)}`);
}

/** Says what has no price, and what to do about it, in one sentence. */
function whyUnknown({ asked, similar }: Unknown, url: string | undefined): string {
  const where = url === undefined ? '' : ` at ${new URL(url).host}`;
  const no = `No price is known for the model ${JSON.stringify(asked)}${where}`;
  const same = similar.find(({ model }) => model === asked);
  if (same !== undefined && url === undefined) {
    return `${no} by its name alone; ${same.provider} sells it, so give --url ${same.url}.`;
  }
  const remedy = 'add it to a price book (--prices)';
  if (same !== undefined) return `${no}; give --url ${same.url}, where it has one, or ${remedy}.`;
  const names = similar.map(({ model }) => model).join(', ');
  return names === ''
    ? `${no}; check its name, or ${remedy}.`
    : `${no}; did you mean ${names}? Else ${remedy}.`;
}

/** Kinds of token in the order of their columns. */
const KINDS: { readonly [Kind in keyof DescribedRates]-?: string } = {
  input: 'input',
  cachedInput: 'cached input',
  cacheWrite: 'cache write',
  cacheWrite1h: 'write, 1 hour',
  inputAudio: 'audio input',
  cachedAudio: 'cached audio',
  inputImage: 'image input',
  cachedImage: 'cached image',
  inputVideo: 'video input',
  output: 'output',
  reasoning: 'reasoning',
  outputAudio: 'audio output',
  outputImage: 'image output',
};

function printOne(terminal: Terminal, price: Found): void {
  const name = price.asked === price.model ? price.model : `${price.asked}, as ${price.model},`;
  terminal.print(`${terminal.paint('bold', name)} by ${price.provider}, from ${price.source}`);
  if (price.contextWindow !== null) {
    terminal.print(`Context window: ${formatCount(price.contextWindow)} tokens`);
  }
  if (price.maxOutputTokens !== null) {
    terminal.print(`Longest output: ${formatCount(price.maxOutputTokens)} tokens`);
  }
  printRates(terminal, price);
  const pieces = Object.entries(price.usdPerPiece);
  if (pieces.length === 0) return;
  const rows = pieces.map(([piece, usd]) => [piece.replaceAll('_', ' '), `$${usd}`]);
  terminal.print(
    `\n${drawTable(terminal, [{ title: 'billed by the piece' }, numbers('each')], rows)}`,
  );
}

/** Prints a row for each set of rates, and a column for each kind of token that has one. */
function printRates(terminal: Terminal, price: PriceDescription): void {
  const standard = { aboveInputTokens: 0, usdPerMillion: price.usdPerMillion };
  const sets = [
    ...named('standard', [standard, ...price.longContext]),
    ...Object.entries(price.serviceTiers).flatMap(([tier, steps]) => named(tier, steps)),
  ];
  const kinds = (Object.keys(KINDS) as (keyof DescribedRates)[]).filter((kind) =>
    sets.some(({ rates }) => rates[kind] !== undefined),
  );
  if (kinds.length === 0) return;
  const columns = [{ title: 'per million tokens' }, ...kinds.map((kind) => numbers(KINDS[kind]))];
  const rows = sets.map(({ name, rates }) => [name, ...kinds.map((kind) => dollars(rates[kind]))]);
  terminal.print(`\n${drawTable(terminal, columns, rows)}`);
  const from = price.longContext[0]?.aboveInputTokens;
  if (from === undefined) return;
  terminal.print(`\n>${formatCount(from)}: the whole call, when its input is longer than that.`);
}

function named(
  tier: string,
  steps: readonly PriceStep[],
): { readonly name: string; readonly rates: DescribedRates }[] {
  return steps.map(({ aboveInputTokens, usdPerMillion }) => ({
    name: aboveInputTokens === 0 ? tier : `${tier} >${formatCount(aboveInputTokens)}`,
    rates: usdPerMillion,
  }));
}

/** Prints a row for each model, with what most calls use. */
function printSeveral(terminal: Terminal, prices: readonly Found[]): void {
  const rows = prices.map((price) => {
    const { input, cachedInput, output } = price.usdPerMillion;
    const [step] = price.longContext;
    return [
      price.asked,
      dollars(input),
      dollars(cachedInput),
      dollars(output),
      step === undefined
        ? ''
        : `>${formatCount(step.aboveInputTokens)}: ${dollars(step.usdPerMillion.input)} in, ` +
          `${dollars(step.usdPerMillion.output)} out`,
      price.contextWindow === null ? '' : formatCount(price.contextWindow),
      price.source,
    ];
  });
  const columns = [
    { title: 'per million tokens' },
    numbers('input'),
    numbers('cached'),
    numbers('output'),
    { title: 'long input' },
    numbers('context'),
    { title: 'from' },
  ];
  terminal.print(drawTable(terminal, columns, rows));
}

function dollars(usd: string | undefined): string {
  return usd === undefined ? '' : `$${usd}`;
}
