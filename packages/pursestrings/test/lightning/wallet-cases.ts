import { AlbyWallet } from '../../src/paid-http/wallets/alby.ts';
import { BlinkWallet } from '../../src/paid-http/wallets/blink.ts';
import { LnbitsWallet } from '../../src/paid-http/wallets/lnbits.ts';
import { LndWallet } from '../../src/paid-http/wallets/lnd.ts';
import { NwcWallet } from '../../src/paid-http/wallets/nwc.ts';
import type { WalletConnection } from '../../src/paid-http/wallets/wallet-server.ts';
import type { L402Wallet } from '../../src/paid-http/wallets/wallet.ts';
import { serveAlby, token } from './alby-server.ts';
import { account, serveBlink } from './blink-server.ts';
import type { LightningBench } from './lightning-bench.ts';
import { adminKey, serveLnbits } from './lnbits-server.ts';
import { macaroon, serveLnd } from './lnd-server.ts';
import type { LoopbackWallet } from './loopback-wallet.ts';
import { serveNwc } from './nwc-service.ts';

/** A wallet that looks payments up, as all of ours do. */
type LookingWallet = L402Wallet & Required<Pick<L402Wallet, 'lookUpPayment'>>;

/** A wallet, what is secret of it, and the steps that its fees come in. */
export interface WalletCase {
  readonly wallet: LookingWallet;
  readonly secret: string;
  readonly feeStepMsat: number;
  readonly end: () => PromiseLike<void>;
}

/** A wallet over HTTP: its server can be told to fail, and it can be made again otherwise. */
export interface HttpWalletCase extends WalletCase {
  readonly server: LoopbackWallet;
  readonly again: (change: WalletConnection & { readonly url?: string }) => LookingWallet;
}

type Opener<T> = (bench: LightningBench) => Promise<T>;

const timeoutMs = 20_000;

async function overHttp(
  server: LoopbackWallet,
  secret: string,
  feeStepMsat: number,
  make: (url: string, connection: WalletConnection) => LookingWallet,
): Promise<HttpWalletCase> {
  return {
    wallet: make(server.url, { timeoutMs }),
    secret,
    feeStepMsat,
    server,
    again: ({ url = server.url, ...connection }) => make(url, { timeoutMs, ...connection }),
    end: () => server[Symbol.asyncDispose](),
  };
}

/** Opens each wallet that is reached over HTTP, with its server on the bench. */
export const httpWalletCases: Readonly<Record<string, Opener<HttpWalletCase>>> = {
  LND: async (bench) =>
    overHttp(
      await serveLnd(bench),
      macaroon,
      1,
      (url, connection) => new LndWallet({ url, macaroon, ...connection }),
    ),
  Blink: async (bench) =>
    overHttp(
      await serveBlink(bench),
      account.apiKey,
      1000,
      (baseUrl, connection) =>
        new BlinkWallet(account.apiKey, account.walletId, { baseUrl, ...connection }),
    ),
  Alby: async (bench) =>
    overHttp(
      await serveAlby(bench),
      token,
      1,
      (url, connection) => new AlbyWallet(token, url, connection),
    ),
  LNbits: async (bench) =>
    overHttp(
      await serveLnbits(bench),
      adminKey,
      1,
      (url, connection) => new LnbitsWallet({ url, apiKey: adminKey, ...connection }),
    ),
};

/** Opens each wallet on the bench. */
export const walletCases: Readonly<Record<string, Opener<WalletCase>>> = {
  ...httpWalletCases,
  NWC: async (bench) => {
    const service = await serveNwc(bench);
    const wallet = new NwcWallet(service.url, { timeoutMs });
    const end = async (): Promise<void> => {
      await wallet.close();
      await service[Symbol.asyncDispose]();
    };
    return { wallet, secret: service.secret, feeStepMsat: 1, end };
  },
};
