import type { L402Wallet } from 'pursestrings/l402';
import { InputError } from './input-error.ts';

/** A wallet that a command opened. */
export interface OpenWallet {
  readonly wallet: L402Wallet;
  close(): Promise<void>;
}

/** Where a wallet's name was found. */
interface NamedWallet {
  readonly text: string;
  /** As messages call it. */
  readonly source: string;
  /** The secret, where it stands apart. */
  readonly secret: string | undefined;
}

const FORMS =
  'write nwc:nostr+walletconnect://…, blink:<wallet id>, lnd:https://host:8080, ' +
  'lnbits:https://host or alby:https://host';

/** How a wallet is named, for the help of a command. */
export const WALLET_HELP = `
A wallet is named by --wallet, by the environment variable PURSE_WALLET, or by \`wallet\` in the
config file, in this order. Its secret is best kept in PURSE_WALLET_SECRET, or in PURSE_WALLET:
arguments can be read by other users of the machine.

  nwc:nostr+walletconnect://…       any wallet by Nostr Wallet Connect (the whole is a secret)
  blink:<wallet id>                 Blink; the secret is an API key
  lnd:https://localhost:8080        LND; the secret is a macaroon in hex
  lnbits:https://lnbits.example     LNbits; the secret is the wallet's admin key
  alby:http://localhost:8080        Alby Hub; the secret is an access token

Without PURSE_WALLET_SECRET the secret stands before an @: lnbits:https://KEY@lnbits.example,
blink:KEY@<wallet id>. For a certificate of your own, such as LND's, set NODE_EXTRA_CA_CERTS.
nwc needs the package @getalby/sdk, installed beside this one.
`;

/**
 * Opens the wallet that an option, the environment or a config file names; \`null\` when none does.
 *
 * @throws InputError that shows no secret.
 */
export async function openWallet(
  option: string | undefined,
  config: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<OpenWallet | null> {
  const named = nameOf(option, config, environment);
  if (named === null) return null;
  const [, kind = '', rest = ''] = /^(nwc|blink|lnd|lnbits|alby):(.+)$/s.exec(named.text) ?? [];
  const whole = named.text.startsWith('nostr+walletconnect:') ? named.text : rest;
  const l402 = await import('pursestrings/l402');
  switch (whole === rest ? kind : 'nwc') {
    case 'nwc': {
      const wallet = new l402.NwcWallet(whole.replace(/^\/\//, 'nostr+walletconnect://'));
      return { wallet, close: () => wallet.close() };
    }
    case 'blink': {
      const [walletId, apiKey] = splitBlink(rest, named);
      const [id = '', query = ''] = walletId.split('?url=');
      const options = query === '' ? {} : { baseUrl: query };
      return opened(new l402.BlinkWallet(apiKey, id, options));
    }
    case 'lnd': {
      const { url, secret } = splitUrl(rest, named);
      return opened(new l402.LndWallet({ url, macaroon: secret }));
    }
    case 'lnbits': {
      const { url, secret } = splitUrl(rest, named);
      return opened(new l402.LnbitsWallet({ url, apiKey: secret }));
    }
    case 'alby': {
      const { url, secret } = splitUrl(rest, named);
      return opened(new l402.AlbyWallet(secret, url));
    }
    default:
      throw new InputError(`${named.source} names no kind of wallet; ${FORMS}.`, {
        code: 'NO_WALLET',
      });
  }
}

/** What stands for a wallet in an answer that says that there is none. */
export function noWallet(): InputError {
  return new InputError(`No wallet is named; give --wallet or set PURSE_WALLET: ${FORMS}.`, {
    code: 'NO_WALLET',
  });
}

function opened(wallet: L402Wallet): OpenWallet {
  return { wallet, close: () => Promise.resolve() };
}

function nameOf(
  option: string | undefined,
  config: string | undefined,
  environment: NodeJS.ProcessEnv,
): NamedWallet | null {
  const secret = environment['PURSE_WALLET_SECRET'] || undefined;
  const named = [
    { text: option, source: '--wallet' },
    { text: environment['PURSE_WALLET'] || undefined, source: 'PURSE_WALLET' },
    { text: config, source: '`wallet` in the config file' },
  ].find(({ text }) => text !== undefined);
  return named?.text === undefined ? null : { text: named.text, source: named.source, secret };
}

function splitUrl(
  text: string,
  named: NamedWallet,
): { readonly url: string; readonly secret: string } {
  // The value is not repeated: it may hold the secret.
  if (!URL.canParse(text)) {
    throw new InputError(`The address of the wallet in ${named.source} is no URL; ${FORMS}.`);
  }
  const url = new URL(text);
  const secret = decodeURIComponent(url.username) || named.secret;
  if (secret === undefined) throw noSecret(named);
  url.username = '';
  return { url: url.href, secret };
}

function splitBlink(text: string, named: NamedWallet): readonly [id: string, apiKey: string] {
  const at = text.lastIndexOf('@');
  const apiKey = at < 0 ? named.secret : text.slice(0, at);
  if (apiKey === undefined || apiKey === '') throw noSecret(named);
  return [text.slice(at + 1).replace(/^\/\//, ''), apiKey.replace(/^\/\//, '')];
}

function noSecret({ source }: NamedWallet): InputError {
  return new InputError(
    `The wallet in ${source} has no secret; set PURSE_WALLET_SECRET to its key, token or macaroon.`,
    { code: 'NO_WALLET' },
  );
}
