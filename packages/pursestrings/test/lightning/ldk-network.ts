import * as ldk from 'lightningdevkit';

import { makeChain, type Chain } from './ldk-chain.ts';
import { makeNode, startLdk, type ForwardingFee, type LdkNode } from './ldk-node.ts';
import { connect } from './ldk-wire.ts';

/** Hears what the nodes tell, each event with whose it is. */
export type NetworkListener = (node: LdkNode, event: ldk.Event) => void;

/**
 * Three nodes in a row with a channel between neighbours: payer, router, payee. The router asks a
 * fee, so no payment is free.
 */
export interface LdkNetwork {
  readonly payer: LdkNode;
  readonly router: LdkNode;
  readonly payee: LdkNode;
  /** Runs the nodes until none has anything more to do. */
  settleDown(): void;
  onEvent(listener: NetworkListener): void;
}

const channelSats = 10_000_000n;

/** Starts three nodes and opens their channels. */
export async function openNetwork(fee: ForwardingFee): Promise<LdkNetwork> {
  await startLdk();
  const payer = makeNode(1, fee);
  const router = makeNode(2, fee);
  const payee = makeNode(3, fee);
  const nodes = [payer, router, payee];
  const wires = [connect(payer, router), connect(router, payee)];
  const chain = makeChain(nodes);
  const listeners: NetworkListener[] = [act(chain)];
  const network: LdkNetwork = {
    payer,
    router,
    payee,
    settleDown: () => {
      let busy = true;
      while (busy) {
        for (const { peers } of nodes) {
          peers.process_events();
        }
        const told = nodes.map((node) => tell(node, listeners));
        const moved = wires.map((wire) => wire.deliver());
        busy = told.includes(true) || moved.includes(true);
      }
    },
    onEvent: (listener) => listeners.push(listener),
  };
  network.settleDown();
  openChannel(payer, router);
  openChannel(router, payee);
  network.settleDown();
  chain.mine();
  network.settleDown();
  return network;
}

function tell(node: LdkNode, listeners: readonly NetworkListener[]): boolean {
  const events = node.takeEvents();
  for (const event of events) {
    for (const listener of listeners) {
      listener(node, event);
    }
  }
  return events.length > 0;
}

/** What every node does by itself: fund the channels it opens, pass on what it is to forward. */
function act(chain: Chain): NetworkListener {
  return (node, event) => {
    if (event instanceof ldk.Event_PendingHTLCsForwardable) {
      node.channels.process_pending_htlc_forwards();
    }
    if (event instanceof ldk.Event_FundingGenerationReady) {
      const { temporary_channel_id: channel, counterparty_node_id: peer } = event;
      const funding = chain.fund(event.output_script, event.channel_value_satoshis);
      node.channels.funding_transaction_generated(channel, peer, funding);
    }
  };
}

function openChannel(from: LdkNode, to: LdkNode): void {
  // Half of it is pushed across, so that it can carry payments both ways.
  const pushed = channelSats * 500n;
  const opened = from.channels.create_channel(to.id, channelSats, pushed, 0n, null, null);
  if (!opened.is_ok()) {
    throw new Error('A node refused to open a channel.');
  }
}
