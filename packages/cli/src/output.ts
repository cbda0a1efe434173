import { type FileHandle, open, rm } from 'node:fs/promises';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';
import type { Terminal } from './terminal.ts';

/** Where the body of an answer goes. */
export interface Output {
  /** Takes all of it, and counts its bytes. */
  take(body: ReadableStream<Uint8Array> | null): Promise<number>;
  /** What an answer for machines says of it. */
  json(): object;
  /** Leaves no file behind. */
  undo(): Promise<void>;
}

/**
 * Opens a new file for a body; without one it goes to the terminal, or into the answer for machines.
 *
 * @throws InputError when the file cannot be made.
 */
export async function openOutput(
  path: string | undefined,
  json: boolean,
  terminal: Terminal,
): Promise<Output> {
  if (path !== undefined) return fileOutput(path);
  return json ? heldOutput() : terminalOutput(terminal);
}

async function fileOutput(path: string): Promise<Output> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx');
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const why = exists ? 'it is there already; name a file that is not' : whyUnreadable(cause);
    throw new InputError(`Cannot write ${path}: ${why}.`, { cause });
  }
  return {
    take: async (body) => {
      const bytes = await eachPiece(body, (piece) => file.writeFile(piece));
      await file.close();
      return bytes;
    },
    json: () => ({ output: path }),
    undo: async () => {
      await file.close().catch(() => undefined);
      await rm(path, { force: true });
    },
  };
}

function heldOutput(): Output {
  const pieces: Uint8Array[] = [];
  return {
    take: (body) => eachPiece(body, (piece) => void pieces.push(piece)),
    json: () => {
      const bytes = Buffer.concat(pieces);
      const text = bytes.toString();
      return Buffer.from(text).equals(bytes)
        ? { body: text }
        : { bodyBase64: bytes.toString('base64') };
    },
    undo: () => Promise.resolve(),
  };
}

function terminalOutput(terminal: Terminal): Output {
  return {
    take: (body) =>
      eachPiece(body, async (piece) => {
        terminal.write(piece);
        await terminal.printed?.();
      }),
    json: () => ({}),
    undo: () => Promise.resolve(),
  };
}

async function eachPiece(
  body: ReadableStream<Uint8Array> | null,
  take: (piece: Uint8Array) => unknown,
): Promise<number> {
  let bytes = 0;
  for await (const piece of body ?? []) {
    bytes += piece.byteLength;
    await take(piece);
  }
  return bytes;
}
