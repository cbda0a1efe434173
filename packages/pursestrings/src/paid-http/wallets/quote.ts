const MAX_QUOTE = 200;

/**
 * What a wallet said, fit for a message: short, on one line, without a full stop at its end, and without the secret, which a broken
 * server may repeat.
 */
export function quote(said: unknown, secret: string): string {
  const text = typeof said === 'string' ? said : JSON.stringify(said ?? null);
  const line = text
    .replaceAll(secret, '[secret]')
    // oxlint-disable-next-line no-control-regex -- A server's text must not steer a terminal.
    .replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]+/g, ' ')
    .trim()
    .replace(/[.\s]+$/, '');
  return line.length > MAX_QUOTE ? `${line.slice(0, MAX_QUOTE)}…` : line;
}
