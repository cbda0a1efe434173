import { formatCount } from './format.ts';
import type { Terminal } from './terminal.ts';

/** Says how far long work has come, a few times a second at most. */
export interface Progress {
  update(doneBytes: number, rows: number): void;
  clear(): void;
}

const INTERVAL_MS = 100;

/** Makes the progress line of reading a file of `totalBytes`. */
export function fileProgress(terminal: Terminal, noun: string, totalBytes: number): Progress {
  let shownAt = 0;
  return {
    update: (doneBytes, rows) => {
      const now = performance.now();
      if (now - shownAt < INTERVAL_MS) return;
      shownAt = now;
      const percent = totalBytes === 0 ? 0 : Math.floor((doneBytes / totalBytes) * 100);
      terminal.progress(`${noun} ${percent} % · ${formatCount(rows)} rows`);
    },
    clear: () => terminal.progress(''),
  };
}
