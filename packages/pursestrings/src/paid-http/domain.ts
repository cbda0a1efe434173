import { isIP } from 'node:net';
import { InvalidOptionError } from '../errors.ts';
import { shown } from '../ledger/invalid.ts';

/** Who asks for money, as far as limits tell it: one written form for each. */
export interface Domain {
  /** The host name: lower case, punycode, no trailing dot, no port. */
  readonly host: string;
  /** The host name and the port, written also where it is the scheme's own. */
  readonly hostAndPort: string;
  /** Where the port ends and the path begins: what credentials belong to. */
  readonly origin: string;
}

/**
 * What a rule for domains names: one host on any port, one host on one port, or every host below
 * one, at any depth and not that one itself.
 */
export type DomainPattern =
  | { readonly kind: 'host'; readonly name: string }
  | { readonly kind: 'host and port'; readonly name: string }
  | { readonly kind: 'below'; readonly name: string; readonly depth: number };

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** Reads who a URL belongs to. */
export function domainOf(url: URL): Domain {
  const host = withoutTrailingDot(url.hostname);
  const port = url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? '') : url.port;
  return { host, hostAndPort: `${host}:${port}`, origin: url.origin };
}

/**
 * Reads a rule for domains: `api.example.com`, `api.example.com:8443`, `*.example.com`. Case, a
 * trailing dot and the written form of an international name make no difference.
 *
 * @throws InvalidOptionError for anything else, and for a URL.
 */
export function parseDomainPattern(text: string): DomainPattern {
  const given = typeof text === 'string' ? text : '';
  const below = given.startsWith('*.');
  const match = /^(?<host>\[[0-9a-fA-F:.]+\]|[^\s/?#@:*[\]\\]+)(?::(?<port>\d{1,5}))?$/u.exec(
    below ? given.slice(2) : given,
  );
  const host = match?.groups?.['host'];
  const port = match?.groups?.['port'];
  const parsed = host === undefined ? null : URL.parse(`http://${host}`);
  const name = parsed === null ? '' : withoutTrailingDot(parsed.hostname);
  const isAddress = name.startsWith('[') || isIP(name) !== 0;
  if (name === '' || Number(port ?? 0) > 65_535 || (below && (port !== undefined || isAddress))) {
    throw new InvalidOptionError(
      `Domain ${shown(text)} cannot be read; write a host such as 'api.example.com', one port of ` +
        `it as 'api.example.com:8443', or all hosts below one as '*.example.com'`,
    );
  }
  if (below) return { kind: 'below', name, depth: name.split('.').length };
  if (port === undefined) return { kind: 'host', name };
  return { kind: 'host and port', name: `${name}:${Number(port)}` };
}

/** True when a rule is about this domain. */
export function matchesDomain(pattern: DomainPattern, domain: Domain): boolean {
  switch (pattern.kind) {
    case 'host':
      return domain.host === pattern.name;
    case 'host and port':
      return domain.hostAndPort === pattern.name;
    case 'below':
      return domain.host.endsWith(`.${pattern.name}`);
  }
}

function withoutTrailingDot(host: string): string {
  return host.replace(/\.+$/, '');
}
