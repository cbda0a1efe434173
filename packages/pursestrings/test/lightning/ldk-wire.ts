import * as ldk from 'lightningdevkit';

import type { LdkNode } from './ldk-node.ts';

/**
 * A socket between two nodes, in memory. LDK must not be called from inside its own callbacks, so
 * what is sent waits here until `deliver` hands it over.
 */
export interface Wire {
  /** Hands over what waits; true when there was anything. */
  deliver(): boolean;
}

interface WireEnd {
  readonly node: LdkNode;
  readonly socket: ldk.SocketDescriptor;
  readonly outbox: Uint8Array[];
}

let sockets = 0n;

/** Connects two nodes; they shake hands as the wire is delivered. */
export function connect(a: LdkNode, b: LdkNode): Wire {
  const left = openEnd(a);
  const right = openEnd(b);
  const nowhere = ldk.Option_SocketAddressZ.constructor_none();
  right.node.peers.new_inbound_connection(right.socket, nowhere);
  const begun = left.node.peers.new_outbound_connection(b.id, left.socket, nowhere);
  if (!(begun instanceof ldk.Result_CVec_u8ZPeerHandleErrorZ_OK)) {
    throw new Error('The nodes did not connect.');
  }
  left.outbox.push(begun.res);
  return {
    deliver: () => {
      const any = left.outbox.length + right.outbox.length > 0;
      handOver(left, right);
      handOver(right, left);
      return any;
    },
  };
}

function openEnd(node: LdkNode): WireEnd {
  sockets += 1n;
  const hash = sockets;
  const outbox: Uint8Array[] = [];
  const socket = ldk.SocketDescriptor.new_impl({
    send_data(data) {
      outbox.push(data.slice());
      return data.length;
    },
    disconnect_socket: () => {
      throw new Error('A node hung up on its peer.');
    },
    eq: (other) => other.hash() === hash,
    hash: () => hash,
  });
  return { node, socket, outbox };
}

function handOver(from: WireEnd, to: WireEnd): void {
  for (const bytes of from.outbox.splice(0)) {
    to.node.peers.read_event(to.socket, bytes);
  }
}
