import { createHash } from 'node:crypto';

import * as ldk from 'lightningdevkit';

import type { LdkNode } from './ldk-node.ts';

/** A chain that no miner made: the nodes believe what they are told through `Confirm`. */
export interface Chain {
  /** Makes a funding transaction that spends nothing; it is confirmed by the next block. */
  fund(outputScript: Uint8Array, sats: bigint): Uint8Array;
  /** Tells every node of enough blocks to open the channels that were funded. */
  mine(): void;
}

const genesis = ldk.BestBlock.constructor_from_network;

/** A regtest chain at its first block. */
export function makeChain(nodes: readonly LdkNode[]): Chain {
  const waiting: Uint8Array[] = [];
  let height = 0;
  let tip = genesis(ldk.Network.LDKNetwork_Regtest).get_block_hash();
  const mineOne = () => {
    height += 1;
    const header = makeHeader(tip);
    tip = sha256(sha256(header));
    const transactions = waiting.splice(0);
    for (const node of nodes) {
      for (const confirm of [node.channels.as_Confirm(), node.monitor.as_Confirm()]) {
        if (transactions.length > 0) {
          const rows = transactions.map((bytes, index) =>
            ldk.TwoTuple_usizeTransactionZ.constructor_new(index + 1, bytes),
          );
          confirm.transactions_confirmed(header, rows, height);
        }
        confirm.best_block_updated(header, height);
      }
    }
  };
  return {
    fund: (outputScript, sats) => {
      const bytes = makeFunding(outputScript, sats, waiting.length);
      waiting.push(bytes);
      return bytes;
    },
    mine: () => {
      for (let block = 0; block < 6; block += 1) {
        mineOne();
      }
    },
  };
}

function makeHeader(previous: Uint8Array): Uint8Array {
  const header = Buffer.alloc(80);
  header.writeUInt32LE(2, 0);
  header.set(previous, 4);
  header.writeUInt32LE(Math.floor(Date.now() / 1000), 68);
  return header;
}

/** One input that spends the output `index` of nothing, with a witness; one output. */
function makeFunding(outputScript: Uint8Array, sats: bigint, index: number): Uint8Array {
  const head = Buffer.from('02000000000101', 'hex');
  const input = Buffer.alloc(41);
  input.fill(7, 0, 32);
  input.writeUInt32LE(index, 32);
  input.fill(0xff, 37);
  const output = Buffer.alloc(10);
  output[0] = 1;
  output.writeBigUInt64LE(sats, 1);
  output[9] = outputScript.length;
  const witnessAndLockTime = Buffer.from('0101ff00000000', 'hex');
  return Buffer.concat([head, input, output, outputScript, witnessAndLockTime]);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
