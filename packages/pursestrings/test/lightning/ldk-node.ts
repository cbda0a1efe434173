import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import * as ldk from 'lightningdevkit';

/** One LDK node, and what its events have told. */
export interface LdkNode {
  readonly id: Uint8Array;
  readonly channels: ldk.ChannelManager;
  readonly monitor: ldk.ChainMonitor;
  readonly peers: ldk.PeerManager;
  /** Reads what the node has to say since it was last asked. */
  takeEvents(): readonly ldk.Event[];
}

/** What a node asks for forwarding a payment. */
export interface ForwardingFee {
  readonly baseMsat: number;
  readonly millionths: number;
}

const network = ldk.Network.LDKNetwork_Regtest;
const completed = ldk.ChannelMonitorUpdateStatus.LDKChannelMonitorUpdateStatus_Completed;
let wasm: Promise<void> | undefined;

/** Compiles LDK's WebAssembly, once a process. */
export function startLdk(): Promise<void> {
  wasm ??= compile();
  return wasm;
}

async function compile(): Promise<void> {
  const entry = createRequire(import.meta.url).resolve('lightningdevkit');
  await ldk.initializeWasmFromBinary(
    await readFile(new URL('liblightningjs.wasm', `file://${entry}`)),
  );
}

/** A node with nothing on disk, no chain but the one it is told of, and no peer yet. */
export function makeNode(seed: number, fee: ForwardingFee): LdkNode {
  const nowS = Math.floor(Date.now() / 1000);
  const logger = ldk.Logger.new_impl({ log: () => undefined });
  const feeEstimator = ldk.FeeEstimator.new_impl({ get_est_sat_per_1000_weight: () => 253 });
  const broadcaster = ldk.BroadcasterInterface.new_impl({
    broadcast_transactions: () => undefined,
  });
  const persister = ldk.Persist.new_impl({
    persist_new_channel: () => completed,
    update_persisted_channel: () => completed,
    archive_persisted_channel: () => undefined,
  });
  const monitor = ldk.ChainMonitor.constructor_new(
    ldk.Option_FilterZ.constructor_none(),
    broadcaster,
    logger,
    feeEstimator,
    persister,
  );
  const keys = ldk.KeysManager.constructor_new(new Uint8Array(32).fill(seed), BigInt(nowS), seed);
  const entropy = keys.as_EntropySource();
  const graph = ldk.NetworkGraph.constructor_new(network, logger);
  const channels = ldk.ChannelManager.constructor_new(
    feeEstimator,
    monitor.as_Watch(),
    broadcaster,
    makeRouter(graph, logger, entropy),
    ldk.DefaultMessageRouter.constructor_new(graph, entropy).as_MessageRouter(),
    logger,
    entropy,
    keys.as_NodeSigner(),
    keys.as_SignerProvider(),
    makeConfig(fee),
    ldk.ChainParameters.constructor_new(network, ldk.BestBlock.constructor_from_network(network)),
    nowS,
  );
  const ignorer = ldk.IgnoringMessageHandler.constructor_new();
  const peers = ldk.PeerManager.constructor_new(
    channels.as_ChannelMessageHandler(),
    ignorer.as_RoutingMessageHandler(),
    ignorer.as_OnionMessageHandler(),
    ignorer.as_CustomMessageHandler(),
    nowS,
    entropy.get_secure_random_bytes(),
    logger,
    keys.as_NodeSigner(),
  );
  return {
    id: channels.get_our_node_id(),
    channels,
    monitor,
    peers,
    takeEvents: eventsOf(channels),
  };
}

function makeRouter(
  graph: ldk.NetworkGraph,
  logger: ldk.Logger,
  entropy: ldk.EntropySource,
): ldk.Router {
  const scorer = ldk.ProbabilisticScorer.constructor_new(
    ldk.ProbabilisticScoringDecayParameters.constructor_default(),
    graph,
    logger,
  );
  return ldk.DefaultRouter.constructor_new(
    graph,
    logger,
    entropy,
    ldk.MultiThreadedLockableScore.constructor_new(scorer.as_Score()).as_LockableScore(),
    ldk.ProbabilisticScoringFeeParameters.constructor_default(),
  ).as_Router();
}

/** Private channels that one confirmation opens and that take any number of tiny payments. */
function makeConfig(fee: ForwardingFee): ldk.UserConfig {
  const config = ldk.UserConfig.constructor_default();
  config.set_accept_forwards_to_priv_channels(true);
  const handshake = config.get_channel_handshake_config();
  handshake.set_minimum_depth(1);
  handshake.set_our_htlc_minimum_msat(1n);
  handshake.set_max_inbound_htlc_value_in_flight_percent_of_channel(100);
  config.set_channel_handshake_config(handshake);
  const channel = config.get_channel_config();
  channel.set_forwarding_fee_base_msat(fee.baseMsat);
  channel.set_forwarding_fee_proportional_millionths(fee.millionths);
  channel.set_max_dust_htlc_exposure(
    ldk.MaxDustHTLCExposure.constructor_fixed_limit_msat(10_000_000_000n),
  );
  config.set_channel_config(channel);
  return config;
}

function eventsOf(channels: ldk.ChannelManager): () => readonly ldk.Event[] {
  let taken: ldk.Event[] = [];
  const handler = ldk.EventHandler.new_impl({
    handle_event(event) {
      taken.push(event);
      return ldk.Result_NoneReplayEventZ.constructor_ok();
    },
  });
  return () => {
    taken = [];
    channels.as_EventsProvider().process_pending_events(handler);
    return taken;
  };
}
