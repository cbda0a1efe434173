import type { Clock } from '../../clock.ts';
import type { RedisServer } from './server.ts';

/** A line of what follows: the store's time, in milliseconds. ARGV 1 is a clock's, or `''`. */
const NOW: string = String.raw`
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
`;

/**
 * KEYS a note's key. ARGV the time. Answers the note's text, or nothing.
 *
 * A note is written as the time when it expires, a line feed, and its text. Redis forgets it by
 * itself; the time that is written is for a ledger that goes by a clock of its own.
 */
const READ_NOTE: string = `${NOW}${String.raw`
local note = redis.call('GET', KEYS[1])
if not note then return false end
local cut = string.find(note, '\n', 1, true)
if tonumber(string.sub(note, 1, cut - 1)) <= now then return false end
return string.sub(note, cut + 1)
`}`;

/** KEYS a note's key. ARGV the time, when it expires, its text; without a text it goes. Answers 1. */
const WRITE_NOTE: string = `${NOW}${String.raw`
local left = tonumber(ARGV[2]) - now
if ARGV[3] and left > 0 then
  redis.call('SET', KEYS[1], ARGV[2] .. '\n' .. ARGV[3], 'PX', string.format('%.0f', left))
else
  redis.call('UNLINK', KEYS[1])
end
return 1
`}`;

/** The notes of one ledger: a key for each, on the ledger's server. */
export class RedisNotes {
  readonly #server: RedisServer;
  readonly #prefix: string;
  readonly #clock: Clock | undefined;

  /** @param keys The ledger's, of which a note's key has the beginning and so the slot. */
  constructor(server: RedisServer, [meta = '']: readonly string[], clock: Clock | undefined) {
    this.#server = server;
    this.#prefix = meta.slice(0, -'meta'.length);
    this.#clock = clock;
  }

  async read(key: string): Promise<string | null> {
    const answer = await this.#server.read(READ_NOTE, this.#keys(key), [this.#clockText()]);
    return answer as string | null;
  }

  async write(key: string, text: string | null, expiresAtMs: number): Promise<void> {
    const args = [this.#clockText(), String(expiresAtMs)];
    await this.#server.write(WRITE_NOTE, this.#keys(key), text === null ? args : [...args, text]);
  }

  /** One key for each note: no name that a caller gives reaches another key, or another slot. */
  #keys(key: string): readonly string[] {
    return [`${this.#prefix}note:${encodeURIComponent(key)}`];
  }

  #clockText(): string {
    return String(this.#clock?.now() ?? '');
  }
}
