import { describe, expect, test } from 'vitest';
import { domainOf, matchesDomain, parseDomainPattern } from '../../src/paid-http/domain.ts';

const domain = (url: string) => domainOf(new URL(url));

test('a domain is a host in its one written form', () => {
  for (const [url, host, hostAndPort] of [
    ['https://API.Example.COM/x', 'api.example.com', 'api.example.com:443'],
    ['https://api.example.com.:443/', 'api.example.com', 'api.example.com:443'],
    ['http://api.example.com:80', 'api.example.com', 'api.example.com:80'],
    ['http://api.example.com:8080', 'api.example.com', 'api.example.com:8080'],
    ['https://bücher.example', 'xn--bcher-kva.example', 'xn--bcher-kva.example:443'],
    ['https://ｅｘａｍｐｌｅ.com', 'example.com', 'example.com:443'],
    ['http://0x7f.1/', '127.0.0.1', '127.0.0.1:80'],
    ['http://[::1]:9/', '[::1]', '[::1]:9'],
    ['http://[0:0:0:0:0:0:0:1]/', '[::1]', '[::1]:80'],
  ] as const) {
    expect(domain(url)).toMatchObject({ host, hostAndPort });
  }
});

describe('a rule is about', () => {
  const rules: Record<string, [yes: string[], no: string[]]> = {
    'Example.com.': [
      ['https://example.com', 'http://EXAMPLE.com.:81'],
      ['https://a.example.com', 'https://example.com.evil', 'https://badexample.com'],
    ],
    'example.com:443': [
      ['https://example.com'],
      ['http://example.com', 'https://example.com:8443'],
    ],
    '*.Example.com': [
      ['https://a.example.com', 'https://a.b.EXAMPLE.com.'],
      ['https://example.com', 'https://aexample.com', 'https://example.com.evil'],
    ],
    '*.bücher.example': [['https://a.xn--bcher-kva.example'], ['https://xn--bcher-kva.example']],
    '[::1]:80': [['http://[::1]'], ['http://[::1]:81', 'http://[::2]']],
    '127.0.0.1': [['http://127.0.0.1:9', 'http://2130706433'], ['http://127.0.0.2']],
  };
  test.each(Object.entries(rules))('%s', (rule, [yes, no]) => {
    const pattern = parseDomainPattern(rule);
    for (const url of yes) expect([url, matchesDomain(pattern, domain(url))]).toEqual([url, true]);
    for (const url of no) expect([url, matchesDomain(pattern, domain(url))]).toEqual([url, false]);
  });
});

test('what is no domain is refused by name', () => {
  for (const text of [
    '',
    '*',
    '*.',
    '.',
    'a b',
    'http://a',
    'a/b',
    'a:',
    'a:x',
    'a:99999',
    'a@b',
    'a?b',
    'a#b',
    '*.a:80',
    '*.1.2.3.4',
    '*.[::1]',
    '[::1',
    'a.*',
    '*a.b',
    7,
    null,
    undefined,
  ]) {
    expect(() => parseDomainPattern(text as string)).toThrow(/write a host such as/);
  }
});
