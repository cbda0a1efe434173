import { Announcer } from './events.ts';
import { observePurse } from './telemetry.ts';

/** Makes what tells listeners of a ledger's events, and OpenTelemetry where that is installed. */
export function announcerOf(ledger: string): Announcer {
  const announcer = new Announcer();
  announcer.countHold = observePurse({ on: announcer.observe.bind(announcer) }, ledger);
  return announcer;
}
