import { expect, test, vi } from 'vitest';
import { openPurse, type Purse } from '../../src/index.ts';
import { memory } from '../../src/stores/memory.ts';
import { manualClock } from '../../src/testing/index.ts';
import { makePurse } from '../stores/fixture.ts';
import { Line, remoteStore } from './remote-store.ts';

const QUICK = { operationTimeoutMs: 100, retryForMs: 5000 };
const HOUR_MS = 3_600_000;

test.each([
  ['', 'x', { ttlMs: 1 }, /key is ""; it must be 1 to 256 characters/],
  ['k'.repeat(257), 'x', { ttlMs: 1 }, /key is "kkk/],
  ['\uD800', 'x', { ttlMs: 1 }, /key is .*Unicode/],
  [7, 'x', { ttlMs: 1 }, /key is 7/],
  ['k', 'x'.repeat(65_537), { ttlMs: 1 }, /text has 65537 characters; a note is at most 65536/],
  ['k', 'a\uDFFF', { ttlMs: 1 }, /Unicode/],
  ['k', 7, { ttlMs: 1 }, /text is of type number; a note is text/],
  ['k', undefined, { ttlMs: 1 }, /text is missing; a note is text, or null/],
  ['k', 'x', { ttlMs: 0 }, /ttlMs is 0/],
  ['k', 'x', { ttlMs: 1.5 }, /ttlMs is 1.5/],
  ['k', 'x', { ttlMs: 400 * 86_400_000 + 1 }, /400 days/],
  ['k', 'x', {}, /ttlMs is undefined/],
  ['k', 'x', undefined, /ttlMs is undefined/],
])('a note that cannot be kept is refused by name (%#)', async (key, text, options, message) => {
  const purse = await openPurse();
  const writing = purse.writeNote(key as string, text as string, options as { ttlMs: number });
  await expect(writing).rejects.toThrow(message);
  await expect(writing).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await purse.readNote('k')).toBeNull();
});

test('what a note says stands in no error', async () => {
  const purse = await openPurse();
  const secret = `secret-${'x'.repeat(65_536)}`;
  for (const text of [secret, 'secret-\uD800']) {
    const error = await purse.writeNote('k', text, { ttlMs: 1 }).catch((thrown: Error) => thrown);
    expect(JSON.stringify([String(error), error])).not.toContain('secret-');
  }
});

test('notes are read and written only while the purse is open, by keys that can be', async () => {
  const purse = await openPurse();
  await expect(purse.readNote('')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await expect(purse.writeNote('', null)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await purse.close();
  await expect(purse.readNote('k')).rejects.toMatchObject({ failure: 'closed' });
  await expect(purse.writeNote('k', null)).rejects.toMatchObject({ failure: 'closed' });
});

/** A purse over a line, to a store whose clock is hours off from the one here. */
async function remotePurse(hoursOff: number): Promise<{
  readonly line: Line;
  readonly purse: Purse;
  readonly clock: ReturnType<typeof manualClock>;
}> {
  const clock = manualClock(new Date(Date.now() + hoursOff * HOUR_MS));
  const line = new Line();
  const purse = await makePurse({ store: remoteStore(memory({ clock }), line), ...QUICK });
  return { line, purse, clock };
}

test.each([-9, 9])('a clock here that is %i hours off cuts no note short', async (hours) => {
  const { purse, clock } = await remotePurse(hours);
  await purse.writeNote('k', 'text', { ttlMs: HOUR_MS });
  clock.advance(HOUR_MS - 60_000);
  expect(await purse.readNote('k')).toBe('text');
  clock.advance(120_000);
  expect(await purse.readNote('k')).toBeNull();
});

test('a note is kept over a line that loses askings and answers', async () => {
  const { line, purse } = await remotePurse(0);
  const fates = ['refused', 'lost', 'cut', 'hangs', 'arrives'] as const;
  let asked = 0;
  line.fate = () => {
    asked += 1;
    return fates[asked % fates.length] ?? 'arrives';
  };
  await purse.writeNote('k', 'text', { ttlMs: HOUR_MS });
  expect(await purse.readNote('k')).toBe('text');
  await purse.writeNote('k', null);
  expect(await purse.readNote('k')).toBeNull();
  expect(asked).toBeGreaterThan(8);
});

test('an asking that hung may arrive after a newer note, which it then replaces', async () => {
  const { line, purse } = await remotePurse(0);
  await purse.writeNote('k', 'first', { ttlMs: HOUR_MS });
  line.fate = () => 'hangs';
  const older = purse.writeNote('k', 'older', { ttlMs: HOUR_MS });
  await new Promise((wake) => setTimeout(wake, 20));
  line.fate = () => 'arrives';
  await older;
  await purse.writeNote('k', 'newer', { ttlMs: HOUR_MS });
  expect(await purse.readNote('k')).toBe('newer');
  line.letArrive();
  await vi.waitFor(async () => expect(await purse.readNote('k')).toBe('older'));
});

test('a store that does not answer is told of as unavailable, or as unknown', async () => {
  const { line, purse } = await remotePurse(0);
  await purse.writeNote('k', 'text', { ttlMs: HOUR_MS });
  const other = await openPurse({
    store: remoteStore(memory(), line),
    operationTimeoutMs: 50,
    retryForMs: 50,
  });
  line.fate = () => 'hangs';
  await expect(other.readNote('k')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await expect(other.writeNote('k', null)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
});
