import type { LedgerRecord } from '../../ledger/audit.ts';
import type { ChargeRecord, Envelope, HoldRecord } from '../../ledger/records.ts';
import { RENAMED_PREFIX } from '../../ledger/records.ts';
import { envelopeGroupOf } from '../../ledger/plan.ts';
import { DAY_SLOT_MS } from '../../ledger/report.ts';
import {
  flatAmounts,
  type GroundList,
  heldLines,
  labelsText,
  placeText,
  totalText,
} from './texts.ts';

/** Writes a record as `scripts/write.ts` reads it: lines of JSON. */
export function recordText(record: LedgerRecord, grounds: GroundList): string {
  switch (record.kind) {
    case 'envelope':
      return envelopeText(record.envelope);
    case 'hold':
      return holdText(record.hold, grounds);
    case 'charge':
      return chargeText(record.charge);
    case 'total': {
      const slot = `${record.grainMs === DAY_SLOT_MS ? 'd' : 'q'}${record.startMs}`;
      const total = [record.kind, slot, record.startMs, record.labels.key, totalText(record)];
      return `${JSON.stringify(total)}\n`;
    }
  }
}

function envelopeText(envelope: Envelope): string {
  const { key, spent, held, pruned, saturated, window } = envelope;
  const crossed = `,${envelope.crossed.map((fraction) => `${fraction},`).join('')}`;
  const said = ['envelope', key, spent, held, pruned, saturated, crossed];
  const closing = [window.endMs, envelopeGroupOf(envelope)];
  return `${JSON.stringify([...said, ...closing])}\n${placeText(envelope, envelope.each, window)}`;
}

function holdText(hold: HoldRecord, grounds: GroundList): string {
  const { id, state, expiresAtMs, resolvedAtMs, said, amounts, occupied, description } = hold;
  const renamedFrom = said.startsWith(RENAMED_PREFIX) ? said.slice(RENAMED_PREFIX.length) : null;
  const head = ['hold', id, state, expiresAtMs, resolvedAtMs, renamedFrom];
  const lines = heldLines(hold.lines, grounds);
  const asked = [flatAmounts(amounts), occupied, description ?? null, lines];
  return `${JSON.stringify([...head, ...asked])}\n${labelsText(hold)}`;
}

function chargeText(charge: ChargeRecord): string {
  const { id, atMs, amounts, labels, description, held, overrun, late, abandoned } = charge;
  const said = [
    'charge',
    id,
    atMs,
    flatAmounts(amounts),
    labels.key,
    description ?? null,
    held === undefined ? null : flatAmounts(held),
    Number(overrun) + 2 * Number(late) + 4 * Number(abandoned),
    charge.corrects ?? null,
    // Each a text of JSON already: Lua would write a fraction in fewer digits.
    charge.crossed.flatMap(({ limit, unit, fraction }) =>
      [limit, unit, fraction].map((part) => JSON.stringify(part)),
    ),
  ];
  return `${JSON.stringify(said)}\n${JSON.stringify(charge.lines.map(({ envelope }) => envelope.key))}`;
}
