/**
 * True for a URL that a client can take apart. Clients throw what they were given, its password
 * too, where it is not: so it is looked at first.
 */
export function isReadableUrl(text: string): boolean {
  try {
    const { username, password, pathname } = new URL(text);
    [username, password, pathname].forEach((part) => decodeURIComponent(part));
    return true;
  } catch {
    return false;
  }
}
