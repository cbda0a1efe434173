import type { NWCClient } from '@getalby/sdk/nwc';

import { L402PaymentError } from '../errors.ts';

/** What is used of the SDK. */
export type NwcSdk = Pick<typeof import('@getalby/sdk/nwc'), 'NWCClient'>;

/**
 * Loads the SDK on first use: it is an optional peer, so that nobody installs a Nostr client who
 * pays otherwise.
 *
 * @throws L402PaymentError that says what to install.
 */
export async function loadNwcSdk(
  load: () => Promise<NwcSdk> = () => import('@getalby/sdk/nwc'),
): Promise<NwcSdk> {
  try {
    return await load();
  } catch (cause) {
    throw new L402PaymentError(
      'NWC_SDK_MISSING',
      'Nostr Wallet Connect needs the package @getalby/sdk, which cannot be loaded; install it with ' +
        'npm install @getalby/sdk.',
      { outcome: 'failed', cause },
    );
  }
}

/** A client, and what it runs into where the SDK catches nothing. */
export interface OpenNwcClient {
  readonly client: NWCClient;
  /** Tells of a request that could not be written, so that it never left; answers how to stop. */
  readonly onBroken: (listener: (request: string) => void) => () => void;
}

/**
 * Opens a client that neither a wallet's answer nor a bad key can break. The SDK reads answers and writes
 * requests in callbacks of its own: what throws there would end the process. So an answer that
 * is not what it must be is made one that the SDK refuses as unreadable, and a request
 * that cannot be written is told by `onBroken` and goes no further.
 */
export function openNwcClient({ NWCClient }: NwcSdk, nostrWalletConnectUrl: string): OpenNwcClient {
  const client = new NWCClient({ nostrWalletConnectUrl });
  const listeners = new Set<(request: string) => void>();
  const decrypt = client.decrypt.bind(client);
  client.decrypt = async (pubkey, content) => {
    try {
      const text = await decrypt(pubkey, content);
      const answer = JSON.parse(text) as unknown;
      return typeof answer === 'object' && answer !== null ? text : UNREADABLE;
    } catch {
      return UNREADABLE;
    }
  };
  const encrypt = client.encrypt.bind(client);
  client.encrypt = async (pubkey, content) => {
    try {
      return (await encrypt(pubkey, content)) as unknown;
    } catch {
      for (const listener of listeners) listener(content);
      return await new Promise<never>(() => undefined);
    }
  };
  return {
    client,
    onBroken: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** No JSON: the SDK rejects with its own decoding error. */
const UNREADABLE = '';
