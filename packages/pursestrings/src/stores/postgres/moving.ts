import type { LedgerRecord } from '../../ledger/audit.ts';
import { stepsOf } from '../../ledger/charge-row.ts';
import { envelopeGroupOf } from '../../ledger/plan.ts';
import type { ChargeRecord, Envelope, HoldRecord } from '../../ledger/records.ts';
import { SLOT_MS } from '../../ledger/report.ts';
import {
  groupContent,
  groupName,
  memberOf,
  termsContent,
  writeSteps,
  writeUnits,
} from './batch.ts';
import { splitKey } from './reading.ts';
import { STATES, writeCrossed, writeCrossings, writeFlags } from './rows.ts';
import { pack } from './text.ts';

/** Writes records as `write_ledger` takes them, in JSON. */
export function recordsText(records: readonly LedgerRecord[]): string {
  const envelopes: object[] = [];
  const holds: object[] = [];
  const charges: object[] = [];
  const totals: object[] = [];
  for (const record of records) {
    switch (record.kind) {
      case 'envelope':
        envelopes.push(envelopeText(record.envelope));
        break;
      case 'hold':
        holds.push(holdText(record.hold));
        break;
      case 'charge':
        charges.push(chargeText(record.charge));
        break;
      case 'total':
        totals.push({
          grain: record.grainMs === SLOT_MS ? 0 : 1,
          slot: record.startMs,
          labels: record.labels.key,
          units: writeUnits(record.amounts),
          steps: writeSteps(record.amounts),
          charges: record.charges,
          denials: record.denials,
        });
    }
  }
  return JSON.stringify({ envelopes, holds, charges, totals });
}

function envelopeText(envelope: Envelope): object {
  const { key, limit, unit, spent, held, pruned, saturated, crossed } = envelope;
  const group = envelopeGroupOf(envelope);
  return {
    group: groupContent(group, limit, unit, envelope),
    ...memberOf(key.slice(group.length)),
    spent,
    held,
    pruned,
    saturated,
    crossed: writeCrossed(crossed),
  };
}

function holdText(hold: HoldRecord): object {
  const units = hold.amounts.map(({ unit }) => unit);
  return {
    ...places(hold.lines.map(({ envelope }) => envelope)),
    id: pack(hold.id),
    state: STATES.indexOf(hold.state),
    abandon: hold.ifAbandoned === 'charge' ? 1 : 0,
    expiresAt: hold.expiresAtMs,
    resolvedAt: hold.resolvedAtMs,
    units: writeUnits(hold.amounts),
    steps: writeSteps(hold.amounts),
    labels: hold.labels.key,
    description: hold.description === undefined ? null : pack(hold.description),
    occupied: hold.occupied.join(','),
    said: pack(hold.said),
    terms: hold.lines.map(({ terms }) => termsContent(terms)),
    unitAt: hold.lines.map(({ terms }) => 1 + units.indexOf(terms.unit)),
  };
}

function chargeText(charge: ChargeRecord): object {
  const { held } = charge;
  return {
    ...places(charge.lines.map(({ envelope }) => envelope)),
    id: pack(charge.id),
    at: charge.atMs,
    flags: writeFlags(charge),
    units: writeUnits(charge.amounts),
    steps: writeSteps(charge.amounts),
    heldUnits: held === undefined ? null : writeUnits(held),
    heldSteps: held === undefined ? null : writeSteps(held),
    labels: charge.labels.key,
    description: charge.description === undefined ? null : pack(charge.description),
    corrects: charge.corrects === undefined ? null : pack(charge.corrects),
    crossed: charge.crossed.length === 0 ? null : writeCrossings(charge.crossed),
    posted: charge.lines.map(({ envelope }) => stepsOf(charge.amounts, envelope.unit)),
  };
}

/** Where the envelopes of lines are filed. Of another store's envelope only key and unit are known. */
function places(envelopes: readonly Envelope[]): object {
  const keys = envelopes.map(({ key }) => splitKey(key));
  return {
    groups: keys.map(({ group }) => groupName(group)),
    members: keys.map(({ member }) => memberOf(member).member),
  };
}
