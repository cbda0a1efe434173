/**
 * Makes a text that was put together from parts one piece in memory. Engines keep such a text as a
 * tree of its parts until a character of it is asked for; a ledger keeps ids and keys by the
 * million, and a tree takes ten times the room.
 */
export function flat(text: string): string {
  // The comparison is always true; it keeps the look at the character from being optimised away.
  return text.charCodeAt(0) >= 0 ? text : '';
}
