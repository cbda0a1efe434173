import { MAX_NOTES, MAX_NOTES_PRUNED } from '../store.ts';
import { DueQueue } from './due-queue.ts';

interface Note {
  readonly key: string;
  readonly text: string;
  readonly expiresAtMs: number;
}

/** The notes of one ledger in memory. */
export class MemoryNotes {
  readonly #notes = new Map<string, Note>();
  readonly #byExpiry = new DueQueue<Note>((note) => this.#notes.get(note.key) === note);

  read(key: string, nowMs: number): string | null {
    const note = this.#notes.get(key);
    return note === undefined || note.expiresAtMs <= nowMs ? null : note.text;
  }

  write(key: string, text: string | null, expiresAtMs: number, nowMs: number): void {
    for (let pruned = 0; pruned < MAX_NOTES_PRUNED && this.#forgetFirst(nowMs); pruned += 1);
    if (this.#notes.delete(key)) this.#byExpiry.drop();
    if (text === null || expiresAtMs <= nowMs) return;
    const note: Note = { key, text, expiresAtMs };
    this.#notes.set(key, note);
    this.#byExpiry.push(note, expiresAtMs);
    if (this.#notes.size > MAX_NOTES) this.#forgetFirst(Number.POSITIVE_INFINITY);
  }

  /** Forgets the note that expires first, when it does so by a time. */
  #forgetFirst(byMs: number): boolean {
    const note = this.#byExpiry.takeDue(byMs);
    return note !== undefined && this.#notes.delete(note.key);
  }
}
