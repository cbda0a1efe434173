import type { Labels } from 'pursestrings';

const wholeFormat = new Intl.NumberFormat('en-US', { maximumFractionDigits: 12 });
const usdFormat = new Intl.NumberFormat('en-US', {
  minimumFractionDigits: 2,
  maximumFractionDigits: 8,
});

/** Writes an amount for people: `$1,234.50`, `12,000 tokens`. Every digit that is known is shown. */
export function formatAmount(unit: string, amount: number): string {
  if (unit !== 'usd') return `${wholeFormat.format(amount)} ${unit}`;
  return `${amount < 0 ? '-' : ''}$${usdFormat.format(Math.abs(amount))}`;
}

/** Writes an amount under a heading that names its unit. */
export function formatCell(unit: string, amount: number): string {
  return unit === 'usd' ? formatAmount(unit, amount) : wholeFormat.format(amount);
}

/** Writes a count: `8,819`. */
export function formatCount(count: number): string {
  return wholeFormat.format(count);
}

/** Writes labels as they are given on the command line: `agent=a1 project=x`. */
export function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value === '' ? '(none)' : value}`)
    .join(' ');
}

/** Writes a time in UTC, as short as it can be said without loss of the minute. */
export function formatTime(time: Date): string {
  const text = time.toISOString();
  if (text.endsWith('T00:00:00.000Z')) return text.slice(0, 10);
  const clock = text.endsWith(':00.000Z') ? text.slice(11, 16) : text.slice(11, 19);
  return `${text.slice(0, 10)} ${clock}`;
}

/** Writes a window by its start and end: `2026-03-01 09:00 to 10:00`. */
export function formatWindow(start: Date, end: Date | null): string {
  if (end === null) return 'always';
  const [from, until] = [formatTime(start), formatTime(end)];
  const sameDay = from.slice(0, 10) === until.slice(0, 10) && until.length > 10;
  if (sameDay) return `${from.length > 10 ? from : `${from} 00:00`} to ${until.slice(11)}`;
  return `${from} to ${until}`;
}
