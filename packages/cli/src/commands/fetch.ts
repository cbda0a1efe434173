import type { Command } from 'commander';
import type { Purse } from 'pursestrings';
import type { PaidFetchOptions, PaymentQuote, QuotedPayment } from 'pursestrings/l402';
import { findConfig } from '../config.ts';
import { formatAmount, formatLabels, formatTime } from '../format.ts';
import { type HttpRequest, readRequest, type RequestOptions } from '../http-request.ts';
import { InputError, messageOf } from '../input-error.ts';
import {
  addLedgerCommand,
  examples,
  type LedgerOptions,
  withLedger,
  withPurse,
} from '../ledger-access.ts';
import { collect, readLabels } from '../options.ts';
import { openOutput, type Output } from '../output.ts';
import { printJson, type Terminal } from '../terminal.ts';
import { noWallet, openWallet, WALLET_HELP } from '../wallet.ts';

interface FetchOptions extends LedgerOptions, RequestOptions {
  readonly wallet?: string;
  readonly maxSats?: string;
  readonly maxFee?: string;
  readonly dryRun?: true;
  readonly label?: readonly string[];
  readonly output?: string;
}

const DETAILS = `${WALLET_HELP}
What may be paid is what the limits of a ledger leave (--store, or a config file), and no more than
--max-sats where it is given. Without a ledger, --max-sats alone is the limit; then nothing
remembers what was paid, and the next fetch of the same page pays again.

--max-sats counts the fee of routing too, where the wallet takes a limit for it: so much is held,
and no more is paid. --dry-run sends the request, pays nothing, and says what it would cost.

Status 0: the page was had, or would be. 1: it was not: denied, refused, not paid, or answered by an
error. 2: misuse.
`;

/** `purse fetch`: one page, paid for within a budget. */
export function addFetch(program: Command, terminal: Terminal): void {
  addLedgerCommand(
    program,
    'fetch',
    'fetch one URL, and pay for it over Lightning where it must be',
  )
    .argument('<url>', 'what to fetch')
    .option('-w, --wallet <wallet>', 'what pays; better set PURSE_WALLET: see below')
    .option('--max-sats <sats>', 'pay no more than this in all, with fees')
    .option('--max-fee <sats>', 'the most that routing may cost (default: 3, or 1 % of --max-sats)')
    .option('--dry-run', 'pay nothing; say what it would cost, and whether it would be allowed')
    .option('--label <name=value>', 'who it is for, such as agent=a1; may be repeated', collect)
    .option('-X, --method <method>', 'the method (default: GET, or POST with --data)')
    .option('-H, --header <line>', 'a header, such as "accept: text/csv"; may be repeated', collect)
    .option('-d, --data <data>', 'what to send, or @file')
    .option('-o, --output <file>', 'a file that is not there yet (default: standard output)')
    .addHelpText(
      'after',
      examples(
        ['purse fetch https://weather.example/now --max-sats 50 --dry-run', 'what does it cost?'],
        [
          'PURSE_WALLET=nwc:nostr+walletconnect://… purse fetch https://weather.example/now --max-sats 50',
          'pay 50 sats at most',
        ],
        [
          'purse fetch https://weather.example/now -s sqlite:./purse.db --label agent=a1',
          'under the limits of a ledger',
        ],
      ) + DETAILS,
    )
    .action(async (url: string, options: FetchOptions) => {
      const request = readRequest(url, options);
      const config =
        options.store === undefined || options.config !== undefined
          ? findConfig(options.config)
          : null;
      const opened = await openWallet(options.wallet, config?.wallet);
      try {
        if (opened === null && options.dryRun !== true) throw noWallet();
        const terms = termsOf(options, opened?.wallet ?? NO_WALLET);
        const hasLedger = (options.store ?? config?.store) !== undefined;
        await withBudget(options, hasLedger, terms.maxSats, terminal, async (purse) => {
          if (options.dryRun) await quote(purse, request, terms, options, terminal);
          else await fetchPaid(purse, request, terms, options, terminal);
        });
      } finally {
        await opened?.close();
      }
    });
}

/** How a page is paid for. */
interface Terms {
  readonly options: PaidFetchOptions;
  /** The most in all; `null` where only a ledger says. */
  readonly maxSats: number | null;
  /** The most for routing where the wallet heeds it. */
  readonly feeSats: number;
}

/** A dry run needs no wallet; it is asked for nothing. */
const NO_WALLET: PaidFetchOptions['wallet'] = {
  payInvoice: () => Promise.reject(new InputError('A dry run pays nothing.')),
};

function termsOf(options: FetchOptions, wallet: PaidFetchOptions['wallet']): Terms {
  const maxSats = satsOf('--max-sats', options.maxSats);
  const fee = satsOf('--max-fee', options.maxFee) ?? Math.max(3, Math.floor((maxSats ?? 0) / 100));
  const maxFee = options.maxFee === undefined && maxSats === null ? {} : { maxFee: fee };
  return {
    maxSats,
    feeSats: wallet.limitsFees === true ? fee : 0,
    options: {
      wallet,
      labels: readLabels('--label', options.label ?? []),
      ...maxFee,
    },
  };
}

function satsOf(option: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^\d{1,12}(\.\d{1,3})?$/.test(text)) return Number(text);
  throw new InputError(
    `${option} is ${JSON.stringify(text)}; write satoshis, such as 50, with at most 3 decimals.`,
  );
}

/** Works under the limits of a ledger; without one, under a limit of its own that is gone after. */
async function withBudget(
  options: FetchOptions,
  hasLedger: boolean,
  maxSats: number | null,
  terminal: Terminal,
  work: (purse: Purse) => Promise<void>,
): Promise<void> {
  if (hasLedger) return withLedger(options, terminal, work);
  if (maxSats === null) {
    throw new InputError(
      'Nothing says how much may be paid; add --max-sats 50, or --store sqlite:./purse.db.',
      { code: 'NO_STORE' },
    );
  }
  const limits = [{ name: 'max-sats', cap: { sats: maxSats } }];
  return withPurse('memory:', {}, { limits }, work);
}

/** Says what a page would cost, by the rules that it would be paid by. */
async function quote(
  purse: Purse,
  { url, init }: HttpRequest,
  { options: terms, maxSats, feeSats }: Terms,
  options: FetchOptions,
  terminal: Terminal,
): Promise<void> {
  const { quotePayment } = await import('pursestrings/l402');
  const answer = await reached(url, () => quotePayment(purse, terms, url, init));
  const { payment } = answer;
  const reasons = payment === null ? [] : refusalsOf(payment, maxSats, feeSats);
  if (reasons.length > 0) terminal.answerNo();
  if (options.json) printJson(terminal, quoteJson(url, answer, reasons));
  else if (payment === null) terminal.print(freeText(answer));
  else printQuote(terminal, payment, reasons, options);
}

function refusalsOf(
  { refusal, denials, amountSats }: QuotedPayment,
  maxSats: number | null,
  feeSats: number,
): readonly string[] {
  const reasons = denials.map(({ message }) => message);
  if (refusal !== null) reasons.push(messageOf(refusal));
  const isOver = maxSats !== null && amountSats + feeSats > maxSats;
  // Without a ledger the limit is --max-sats itself, and has said so.
  if (isOver && reasons.length === 0) reasons.push(overMax(amountSats, feeSats, maxSats));
  return reasons;
}

function overMax(sats: number, feeSats: number, maxSats: number): string {
  const fee = feeSats === 0 ? '' : ` and up to ${formatAmount('sats', feeSats)} for routing`;
  return `It asks for ${formatAmount('sats', sats)}${fee}, over --max-sats ${maxSats}; raise it to pay.`;
}

function freeText({ status, paidBefore }: PaymentQuote): string {
  if (paidBefore) return 'It costs nothing now: a credential for it was paid for before.';
  if (status === 402) return 'It asks for money in no way that is understood here (status 402).';
  return `It costs nothing (status ${status}).`;
}

function printQuote(
  terminal: Terminal,
  payment: QuotedPayment,
  reasons: readonly string[],
  options: FetchOptions,
): void {
  const { amountSats, feeLimitSats, domain, payee, expiresAt, resource } = payment;
  const fee =
    feeLimitSats === 0 ? '' : `, and up to ${formatAmount('sats', feeLimitSats)} for routing`;
  terminal.print(
    `${resource}\n  costs ${terminal.paint('bold', formatAmount('sats', amountSats))}${fee}`,
  );
  terminal.print(`  to ${domain}, node ${payee}, until ${formatTime(expiresAt)} UTC`);
  const labels = readLabels('--label', options.label ?? []);
  if (Object.keys(labels).length > 0) terminal.print(`  for ${formatLabels(labels)}`);
  if (reasons.length === 0) terminal.print(`  ${terminal.paint('green', 'It would be paid.')}`);
  for (const reason of reasons) {
    terminal.print(`  ${terminal.paint('red', 'It would not be paid:')} ${reason}`);
  }
}

function quoteJson(url: string, answer: PaymentQuote, reasons: readonly string[]): object {
  const { status, paidBefore, payment } = answer;
  if (payment === null) return { url, status, paidBefore, allowed: true, payment };
  const { refusal, ...rest } = payment;
  const code = refusal === null ? null : refusal.code;
  return {
    url,
    status,
    paidBefore,
    allowed: reasons.length === 0,
    reasons,
    payment: { ...rest, refusal: code },
  };
}

/** Fetches a page, pays where it must, and hands it on. */
async function fetchPaid(
  purse: Purse,
  { url, init }: HttpRequest,
  { options: terms, maxSats, feeSats }: Terms,
  options: FetchOptions,
  terminal: Terminal,
): Promise<void> {
  const { paidFetch } = await import('pursestrings/l402');
  const spent: number[] = [];
  let promisedSats = 0;
  const fetch = paidFetch(purse, {
    ...terms,
    onSpend: (sats) => void spent.push(sats),
    beforePayment: (sats) => {
      promisedSats += sats + feeSats;
      if (maxSats === null || promisedSats <= maxSats) return;
      throw new InputError(overMax(sats, feeSats, maxSats), { code: 'OVER_MAX_SATS' });
    },
  });
  // A file that cannot be written is found out before anything is paid for it.
  const output = await openOutput(options.output, options.json === true, terminal);
  try {
    const response = await reached(url, () => fetch(url, init));
    const bytes = await output.take(response.body);
    if (!response.ok) terminal.answerNo();
    tell(terminal, options, { url, response, bytes, spent, output });
  } catch (error) {
    await output.undo();
    throw error;
  }
}

interface Had {
  readonly url: string;
  readonly response: Response;
  readonly bytes: number;
  readonly spent: readonly number[];
  readonly output: Output;
}

function tell(terminal: Terminal, options: FetchOptions, had: Had): void {
  const { url, response, bytes, spent, output } = had;
  const paidSats = spent.reduce((sum, sats) => sum + Math.round(sats * 1000), 0) / 1000;
  const { status, statusText } = response;
  if (options.json) {
    const contentType = response.headers.get('content-type');
    const payments = spent.length;
    printJson(terminal, { url, status, contentType, bytes, payments, paidSats, ...output.json() });
    return;
  }
  if (spent.length > 0) terminal.note(`Paid ${formatAmount('sats', paidSats)} for ${url}.`);
  if (!response.ok) terminal.note(`purse: ${url} answered ${`${status} ${statusText}`.trim()}.`);
}

/** Asks a server; that it cannot be reached is no misuse. */
async function reached<T>(url: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const why = error.cause instanceof Error ? messageOf(error.cause) : messageOf(error);
    throw new InputError(`${new URL(url).origin} cannot be reached: ${why}.`, {
      code: 'UNREACHABLE',
      cause: error,
    });
  }
}
