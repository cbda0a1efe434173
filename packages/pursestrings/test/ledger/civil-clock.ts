/** What a clock on the wall of a time zone shows. */
export interface CivilTime {
  readonly date: string;
  readonly hour: number;
  /** What is to be added to UTC to get it. */
  readonly offsetMs: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Reads a wall clock, by the platform's own time zone data and arithmetic. */
export function civilTime(timeMs: number, timeZone: string): CivilTime {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
  formats.set(timeZone, format);
  const parts = Object.fromEntries(
    format.formatToParts(timeMs).map(({ type, value }) => [type, value]),
  );
  const date = `${parts['year']}-${parts['month']}-${parts['day']}`;
  const shown = Date.parse(`${date}T${parts['hour']}:${parts['minute']}:${parts['second']}Z`);
  const wholeSecondMs = Math.floor(timeMs / 1000) * 1000;
  return { date, hour: Number(parts['hour']), offsetMs: shown - wholeSecondMs };
}

/** The date so many days after another. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
}

/** The Monday of the week that a date is in. */
export function mondayOf(date: string): string {
  const sinceSunday = new Date(date).getUTCDay();
  return addDays(date, sinceSunday === 0 ? -6 : 1 - sinceSunday);
}
