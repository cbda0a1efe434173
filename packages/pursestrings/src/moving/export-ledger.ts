import { PurseError } from '../ledger/invalid.ts';
import { type Policy, withFreeze, withoutFreeze } from '../ledger/policy.ts';
import { DEFAULT_PATIENCE } from '../patience.ts';
import { PatientStore } from '../patient-store.ts';
import { newId } from '../new-id.ts';
import { PolicyDesk } from '../policy-desk.ts';
import type { LedgerStore } from '../stores/store.ts';
import { FORM_VERSION, type Header } from './ledger-file.ts';
import { LineWriter } from './line-writer.ts';

/** What the freeze of a ledger that was exported says. */
const EXPORTED = 'exported: this ledger was moved to another store';

/**
 * Writes a ledger as lines of JSON, from which `importLedger` makes the same ledger in another store.
 *
 * From the first line on every spend of the ledger is frozen, in every process, and it stays so when
 * all lines are read: the ledger has moved. When the export fails or is broken off, the freeze is
 * lifted again. Stop what charges without a hold first: charges are recorded in spite of a freeze,
 * and an export during which one was recorded fails at its end.
 *
 * @param store The ledger's store. It stays open.
 * @throws PurseError `OPEN_HOLDS`: holds are open; settle or release them, or let them expire.
 * @throws PurseError `LEDGER_CHANGED`: something was charged while the ledger was exported.
 * @throws StoreError
 * @example
 * ```ts
 * import { exportLedger, importLedger, openPurse } from 'pursestrings';
 * import { memory } from 'pursestrings/stores/memory';
 *
 * const from = memory();
 * const purse = await openPurse({ store: from, limits: [{ name: 'all', cap: { usd: 10 } }] });
 * await purse.charge({ usd: 0.25 });
 * await purse.close();
 *
 * const moved = await importLedger(memory(), exportLedger(from));
 * console.log(moved.charges); // 1
 * ```
 */
export async function* exportLedger(store: LedgerStore): AsyncGenerator<string> {
  const source = PatientStore.on(store, DEFAULT_PATIENCE);
  await refuseOpenHolds(source);
  const desk = await PolicyDesk.open(source);
  const stood = desk.rulebook.policy.freezes.some(isOurs);
  await desk.change(frozen);
  let whole = false;
  try {
    // What was reserved before the freeze may be open still.
    await refuseOpenHolds(source);
    const writer = new LineWriter();
    yield writer.header(headerOf(source, desk.rulebook.policy));
    let last: string | undefined;
    for await (const record of source.readLedger('whole')) {
      if (record.kind === 'charge') last = record.charge.id;
      yield* writer.record(record);
    }
    await refuseLaterCharges(source, last);
    yield writer.trailer();
    whole = true;
  } finally {
    if (!whole && !stood) await desk.change(thawed);
  }
}

function headerOf({ ledger, name }: LedgerStore, policy: Policy): Header {
  const { units, limits, freezes } = thawed(policy);
  return {
    kind: 'ledger',
    version: FORM_VERSION,
    id: newId(),
    ledger,
    store: name,
    at: new Date().toISOString(),
    policy: { units, limits, freezes },
  };
}

/** A freeze of everything that somebody else wants stays theirs, and goes with the ledger. */
function frozen(policy: Policy): Policy {
  return policy.freezes.some(isOnAll) ? policy : withFreeze(policy, {}, EXPORTED);
}

function thawed(policy: Policy): Policy {
  return policy.freezes.some(isOurs) ? withoutFreeze(policy, {}) : policy;
}

function isOurs(freeze: Policy['freezes'][number]): boolean {
  return isOnAll(freeze) && freeze.reason === EXPORTED;
}

function isOnAll({ where }: Policy['freezes'][number]): boolean {
  return Object.keys(where).length === 0;
}

async function refuseOpenHolds(store: LedgerStore): Promise<void> {
  while ((await store.apply([])).expiries.length > 0);
  const { items, next } = await store.readHolds({ size: 10 });
  if (items.length === 0) return;
  const ids = items.map(({ id }) => JSON.stringify(id)).join(', ');
  throw new PurseError(
    'OPEN_HOLDS',
    `The ledger ${JSON.stringify(store.ledger)} has open holds (${ids}${next === null ? '' : ', …'}), ` +
      `and holds cannot be moved; settle or release them, or let them expire, then export again`,
  );
}

/** Charges are refused by no freeze: one that came after the snapshot would be lost. */
async function refuseLaterCharges(store: LedgerStore, last: string | undefined): Promise<void> {
  const { items } = await store.readJournal({ order: 'newest', size: 1 });
  if (items[0]?.id === last) return;
  throw new PurseError(
    'LEDGER_CHANGED',
    `Charge ${JSON.stringify(items[0]?.id ?? last)} was recorded while the ledger ` +
      `${JSON.stringify(store.ledger)} was exported; stop what spends from it, then export again`,
    { retryable: true },
  );
}
