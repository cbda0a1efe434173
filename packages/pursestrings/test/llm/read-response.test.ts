import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';

import { withBody } from '../../src/llm/read-response.ts';

const TEXT = '{"a": 1}';

async function readOnce(): Promise<Response> {
  const response = new Response(TEXT, {
    status: 201,
    headers: { 'content-type': 'application/json' },
  });
  const bytes = await response.arrayBuffer();
  return withBody(response, bytes, JSON.parse(TEXT));
}

describe('a response whose body was read already', () => {
  it('is the response it was', async () => {
    const response = await readOnce();
    expect(response).toBeInstanceOf(Response);
    expect(response.status).toBe(201);
    expect(response.ok).toBe(true);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.bodyUsed).toBe(false);
  });

  it.each<[string, (response: Response) => Promise<unknown>]>([
    ['json', async (response) => JSON.stringify(await response.json(), null, 0).replace(':', ': ')],
    ['text', (response) => response.text()],
    ['arrayBuffer', async (response) => Buffer.from(await response.arrayBuffer()).toString()],
    ['bytes', async (response) => Buffer.from(await response.bytes()).toString()],
    ['blob', async (response) => (await response.blob()).text()],
    ['body', (response) => new Response(response.body).text()],
  ])('gives its body once by `%s`, and by a clone', async (_name, read) => {
    const response = await readOnce();
    const copy = response.clone();
    expect(await read(copy)).toBe(TEXT);
    expect(await read(response)).toBe(TEXT);
    expect(response.bodyUsed).toBe(true);
    const direct = await readOnce();
    expect(await read(direct)).toBe(TEXT);
    expect(direct.bodyUsed).toBe(true);
    await expect(direct.json()).rejects.toThrow(TypeError);
    await expect(direct.text()).rejects.toThrow(TypeError);
    expect(() => direct.clone()).toThrow(TypeError);
  });

  it.each(['json', 'arrayBuffer'] as const)('can still be logged after `%s`', async (read) => {
    const response = await readOnce();
    await response[read]();
    expect(inspect(response)).toContain('status: 201');
    expect(response.body).toBeInstanceOf(ReadableStream);
    expect(response.bodyUsed).toBe(true);
    await expect(response.json()).rejects.toThrow(TypeError);
    expect(() => response.clone()).toThrow(TypeError);
  });

  it('says why a body is no JSON', async () => {
    const response = new Response('{"a"');
    const again = withBody(response, await response.arrayBuffer(), undefined);
    await expect(again.json()).rejects.toThrow(SyntaxError);
  });
});
