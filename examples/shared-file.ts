/** Four processes share one SQLite file, and together they admit what the cap affords. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { openPurse } from 'pursestrings';

const store = 'sqlite:./shared.db';

if (process.send === undefined) {
  const purse = await openPurse({ store, limits: [{ name: 'all', cap: { calls: 100 } }] });
  const children = Array.from({ length: 4 }, () => fork(process.argv[1] as string));
  const answers = await Promise.all(children.map((child) => once(child, 'message')));
  const admitted = answers.map(([count]) => Number(count)).reduce((sum, count) => sum + count, 0);
  assert.equal(admitted, 100);
  assert.deepEqual((await purse.report()).total, { calls: 100 });
  assert.equal((await purse.verify()).ok, true);
  await purse.close();
} else {
  const purse = await openPurse({ store });
  let admitted = 0;
  const spends = Array.from({ length: 50 }, async () => {
    const reserved = await purse.tryReserve({ calls: 1 });
    if (!reserved.ok) return;
    admitted += 1;
    await reserved.hold.settle();
  });
  await Promise.all(spends);
  await purse.close();
  process.send(admitted);
  process.disconnect();
}
