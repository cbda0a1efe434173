import { once } from 'node:events';
import { styleText } from 'node:util';

/** The colours that the output uses; each stands for a meaning, see `paint`. */
export type Colour = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

/** Where a command writes. Answers go to `print`, everything about the work goes to `note`. */
export interface Terminal {
  /** Writes to stdout: the answer, and nothing else, so that it can be piped. */
  print(text: string): void;
  /** Writes bytes to stdout as they are. */
  write(bytes: Uint8Array): void;
  /** Waits until whoever reads the answer has taken what was printed, where that is to be waited for. */
  printed?(): Promise<void>;
  /**
   * Prints, and waits until it was taken: for an answer that means something only as a whole. From
   * then on a reader who leaves does not end the process.
   *
   * @throws what stdout says when the reader has left.
   */
  deliver?(text: string): Promise<void>;
  /** Writes to stderr: remarks that are not part of the answer. */
  note(text: string): void;
  /** Colours text when stdout is a terminal and NO_COLOR is not set; else returns it as it is. */
  paint(colour: Colour, text: string): string;
  /** Rewrites the last line of stderr, when stderr is a terminal; `''` clears it. */
  progress(text: string): void;
  /** Says that the answer is no: the command will end with status 1. */
  answerNo(): void;
  /** Columns that a line may take. */
  readonly columns: number;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  const coloured = stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  let delivering = false;
  // A reader such as `head` may leave early: that is its right, and no failure of ours.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!delivering) process.exit(error.code === 'EPIPE' ? 0 : 2);
  });
  return {
    print: (text) => void stdout.write(`${text}\n`),
    write: (bytes) => void stdout.write(bytes),
    printed: async () => {
      if (stdout.writableNeedDrain) await once(stdout, 'drain');
    },
    deliver: (text) => {
      delivering = true;
      return new Promise((resolve, reject) => {
        stdout.write(`${text}\n`, (error) => (error ? reject(error) : resolve()));
      });
    },
    note: (text) => void stderr.write(`${text}\n`),
    paint: (colour, text) => (coloured ? styleText(colour, text, { validateStream: false }) : text),
    progress: (text) => {
      if (stderr.isTTY) stderr.write(`\r\u001B[2K${text}`);
    },
    answerNo: () => {
      process.exitCode = 1;
    },
    columns: Math.min(stdout.isTTY ? stdout.columns : 100, 120),
  };
}

/** Prints an answer for machines. */
export function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2));
}
