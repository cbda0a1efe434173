/**
 * A process that spends from an enforcer in a file: `worker.ts <file> <namespace>`. At a line
 * that it is given it spends until nothing is permitted any more, and tells of every spend.
 */
import { createInterface } from 'node:readline';
import { BudgetEnforcer } from '../../src/envelopes/index.ts';

const [path = '', namespace = ''] = process.argv.slice(2);
const enforcer = new BudgetEnforcer({ namespace, store: `sqlite:${path}` });
enforcer.createEnvelope({ category: 'llm', limit: 100, period: 'total' });
process.stdout.write('ready\n');
for await (const _ of createInterface({ input: process.stdin })) {
  let count = 0;
  for (;;) {
    const { commitId } = enforcer.commit('llm', 1);
    if (commitId === null) break;
    enforcer.settle(commitId, 1);
    count += 1;
    process.stdout.write(`${count}\n`);
  }
  process.stdout.write(`done ${count}\n`);
}
