import { createRequire } from 'node:module';
import type * as Api from '@opentelemetry/api';

import type { Charge } from './charge.ts';
import { Announcer, type PurseEvents } from './events.ts';

/** `@opentelemetry/api`, as far as it is used here. */
export type TelemetryApi = Pick<
  typeof Api,
  'context' | 'createNoopMeter' | 'diag' | 'metrics' | 'SpanKind' | 'SpanStatusCode' | 'trace'
>;

/** What happens to a hold and is announced as no event of the purse. */
export type QuietHoldEvent = 'taken' | 'released';

/** Counts what happens to holds; it never throws. */
export type CountHold = (event: QuietHoldEvent) => void;

type HoldEvent = QuietHoldEvent | 'settled' | 'expired';

/** The instrumentation scope of everything this package reports. */
export const SCOPE: string = 'pursestrings';

const HERE: string = import.meta.url;

let found: TelemetryApi | null | undefined;

/**
 * The OpenTelemetry API if it is installed beside this package, else null. It is looked for once.
 */
export function telemetryApi(): TelemetryApi | null {
  if (found === undefined) found = loadTelemetryApi(HERE);
  return found;
}

const NEEDED = [
  'context',
  'createNoopMeter',
  'diag',
  'metrics',
  'SpanKind',
  'SpanStatusCode',
  'trace',
] as const satisfies readonly (keyof TelemetryApi)[];

/**
 * Loads the OpenTelemetry API as a module at `from` would. It is an optional peer, so it is
 * required by a name that no bundler follows: a bundle is made without it and runs without it.
 * Copies of it share one global registration, so any copy will do.
 */
export function loadTelemetryApi(from: string): TelemetryApi | null {
  try {
    const api = createRequire(from)('@opentelemetry/api') as Partial<TelemetryApi>;
    // A version too old to have all of it is none.
    return NEEDED.every((name) => api[name] !== undefined) ? (api as TelemetryApi) : null;
  } catch {
    return null;
  }
}

/**
 * Makes instruments of the meter provider that is registered now, and anew when another one is: an
 * application may register its own after it has opened a purse, and the API does not forward to it.
 * Answers null while none is registered.
 */
export function instrumentsOf<T>(api: TelemetryApi, make: (meter: Api.Meter) => T): () => T | null {
  const nobody = api.createNoopMeter();
  let made: { readonly provider: Api.MeterProvider; readonly instruments: T | null } | undefined;
  return () => {
    const provider = api.metrics.getMeterProvider();
    if (made?.provider !== provider) {
      const meter = provider.getMeter(SCOPE);
      made = { provider, instruments: meter === nobody ? null : make(meter) };
    }
    return made.instruments;
  };
}

/** Does something for telemetry's sake, which must never cost anybody his spend. */
export function quietly(api: TelemetryApi, act: () => void): void {
  try {
    act();
  } catch (error) {
    tell(api, error);
  }
}

function tell(api: TelemetryApi, error: unknown): void {
  try {
    api.diag.error(`${SCOPE}: telemetry failed`, error);
  } catch {
    // Nobody is left to tell.
  }
}

interface PurseInstruments {
  readonly spend: Api.Counter;
  readonly corrections: Api.Counter;
  readonly holds: Api.Counter;
  readonly denials: Api.Counter;
}

function makeInstruments(meter: Api.Meter): PurseInstruments {
  return {
    spend: meter.createCounter('purse.spend', {
      description: 'What was recorded as spent, in decimals of the unit.',
    }),
    corrections: meter.createCounter('purse.corrections', {
      description: 'What was recorded as spent and then taken back, in decimals of the unit.',
    }),
    holds: meter.createCounter('purse.holds', {
      unit: '{hold}',
      description: 'Holds taken, settled, released and expired.',
    }),
    denials: meter.createCounter('purse.denials', {
      unit: '{denial}',
      description: 'Spends that were refused, by the first limit that refused them.',
    }),
  };
}

/** An announcer whose events are reported for a ledger too. */
export function observedAnnouncer(ledger: string): Announcer {
  const announcer = new Announcer();
  announcer.countHold = observePurse({ on: announcer.observe.bind(announcer) }, ledger);
  return announcer;
}

/**
 * Reports what a purse announces as OpenTelemetry metrics. Answers a function that is to be told of
 * the rest, or null where the API is not installed: then nothing is listened to.
 *
 * | counter | what it adds up | attributes besides `purse.ledger` |
 * |---|---|---|
 * | `purse.spend` | amounts recorded as spent | `purse.unit` |
 * | `purse.corrections` | amounts taken back later | `purse.unit` |
 * | `purse.holds` | holds | `purse.hold.event`: `taken`, `settled`, `released`, `expired` |
 * | `purse.denials` | refused spends | `purse.limit`, `purse.reason`, `purse.unit` |
 *
 * Attributes take few values: no label of a spend is among them, and limits and units are those of
 * the policy. Amounts are doubles, made for charts; the ledger is exact.
 */
export function observePurse(
  announcer: Pick<Announcer, 'on'>,
  ledger: string,
  api: TelemetryApi | null = telemetryApi(),
): CountHold | null {
  if (api === null) return null;
  const instruments = instrumentsOf(api, makeInstruments);
  const about = { 'purse.ledger': ledger };
  const countHold = (event: HoldEvent): void =>
    quietly(api, () => instruments()?.holds.add(1, { ...about, 'purse.hold.event': event }));
  announcer.on('charge', (charge) => {
    quietly(api, () => countCharge(instruments(), about, charge));
    // A hold that expired is counted as that, whatever is said of it later.
    if (charge.held !== undefined && !charge.late && !charge.abandoned) countHold('settled');
  });
  announcer.on('denied', (denied) => quietly(api, () => countDenial(instruments(), about, denied)));
  announcer.on('expired', () => countHold('expired'));
  return countHold;
}

/** A counter only goes up, so what a correction takes back is counted by itself. */
function countCharge(
  instruments: PurseInstruments | null,
  about: Api.Attributes,
  { amounts }: Charge,
): void {
  if (instruments === null) return;
  const { spend, corrections } = instruments;
  for (const [unit, amount] of Object.entries(amounts)) {
    const attributes = { ...about, 'purse.unit': unit };
    if (amount < 0) corrections.add(-amount, attributes);
    else spend.add(amount, attributes);
  }
}

function countDenial(
  instruments: PurseInstruments | null,
  about: Api.Attributes,
  { limit, reason, unit }: PurseEvents['denied'],
): void {
  instruments?.denials.add(1, {
    ...about,
    ...(limit !== null && { 'purse.limit': limit }),
    'purse.reason': reason,
    'purse.unit': unit,
  });
}
