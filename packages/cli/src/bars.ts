import type { Colour, Terminal } from './terminal.ts';

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * Draws how much of a cap is used, in eighths of a character. What is used at all shows, and only
 * a full cap shows a full bar.
 */
export function drawBar(
  terminal: Terminal,
  fraction: number,
  width: number,
  colour: Colour = barColour(fraction),
): string {
  const bounded = Math.min(Math.max(Number.isNaN(fraction) ? 0 : fraction, 0), 1);
  let eighths = Math.floor(bounded * width * 8);
  if (bounded > 0 && eighths === 0) eighths = 1;
  const filled = `${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8] ?? ''}`;
  const empty = '░'.repeat(width - filled.length);
  return `${terminal.paint(colour, filled)}${terminal.paint('dim', empty)}`;
}

/** Green while there is room, yellow from 80 %, red from the cap on. */
function barColour(fraction: number): Colour {
  if (fraction >= 1) return 'red';
  return fraction >= 0.8 ? 'yellow' : 'green';
}

/** Writes a fraction in percent, rounded so that only a full cap reads 100 %. */
export function formatPercent(fraction: number): string {
  const percent = fraction * 100;
  const rounded = percent < 100 ? Math.floor(percent) : Math.round(percent);
  return fraction > 0 && rounded === 0 ? '<1 %' : `${rounded} %`;
}
