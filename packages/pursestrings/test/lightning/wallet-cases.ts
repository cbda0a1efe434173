import { AlbyWallet } from '../../src/paid-http/wallets/alby.ts';
import { BlinkWallet } from '../../src/paid-http/wallets/blink.ts';
import { LnbitsWallet } from '../../src/paid-http/wallets/lnbits.ts';
import { LndWallet } from '../../src/paid-http/wallets/lnd.ts';
import { NwcWallet } from '../../src/paid-http/wallets/nwc.ts';
import type { L402Wallet } from '../../src/paid-http/wallets/wallet.ts';
import { serveAlby, token } from './alby-server.ts';
import { account, serveBlink } from './blink-server.ts';
import type { LightningBench } from './lightning-bench.ts';
import { adminKey, serveLnbits } from './lnbits-server.ts';
import { macaroon, serveLnd } from './lnd-server.ts';
import { serveNwc } from './nwc-service.ts';

/** A wallet that looks payments up, as all of ours do. */
export type LookingWallet = L402Wallet & Required<Pick<L402Wallet, 'lookUpPayment'>>;

/** A wallet, what is secret of it, and the steps that its fees come in. */
export interface WalletCase {
  readonly wallet: LookingWallet;
  readonly secret: string;
  readonly feeStepMsat: number;
  readonly end: () => PromiseLike<void>;
}

const timeoutMs = 20_000;

/** Opens each wallet on the bench, with its server. */
export const walletCases: Readonly<Record<string, (bench: LightningBench) => Promise<WalletCase>>> =
  {
    LND: async (bench) => {
      const server = await serveLnd(bench);
      const wallet = new LndWallet({ url: server.url, macaroon, timeoutMs });
      return { wallet, secret: macaroon, feeStepMsat: 1, end: () => server[Symbol.asyncDispose]() };
    },
    Blink: async (bench) => {
      const server = await serveBlink(bench);
      const { apiKey, walletId } = account;
      const wallet = new BlinkWallet(apiKey, walletId, { baseUrl: server.url, timeoutMs });
      return {
        wallet,
        secret: apiKey,
        feeStepMsat: 1000,
        end: () => server[Symbol.asyncDispose](),
      };
    },
    Alby: async (bench) => {
      const server = await serveAlby(bench);
      const wallet = new AlbyWallet(token, server.url, { timeoutMs });
      return { wallet, secret: token, feeStepMsat: 1, end: () => server[Symbol.asyncDispose]() };
    },
    LNbits: async (bench) => {
      const server = await serveLnbits(bench);
      const wallet = new LnbitsWallet({ url: server.url, apiKey: adminKey, timeoutMs });
      return { wallet, secret: adminKey, feeStepMsat: 1, end: () => server[Symbol.asyncDispose]() };
    },
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
