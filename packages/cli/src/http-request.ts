import { readFileSync } from 'node:fs';
import { whyUnreadable } from './data-file.ts';
import { InputError } from './input-error.ts';

/** The options that make a request, as curl names them. */
export interface RequestOptions {
  readonly method?: string;
  readonly header?: readonly string[];
  readonly data?: string;
}

/** What a request carries. */
type Data = string | Uint8Array<ArrayBuffer>;

/** A request that a command is to send. Its body can be sent again. */
export interface HttpRequest {
  readonly url: string;
  readonly init: { readonly method: string; readonly headers: Headers; readonly body?: Data };
}

/**
 * Reads a URL and the options beside it.
 *
 * @throws InputError that names what cannot be meant.
 */
export function readRequest(url: string, options: RequestOptions): HttpRequest {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new InputError(
      `${JSON.stringify(url)} is no http or https URL; write it whole, such as https://example.com/.`,
    );
  }
  const body = options.data === undefined ? undefined : readData(options.data);
  const method = (options.method ?? (body === undefined ? 'GET' : 'POST')).toUpperCase();
  if (!/^[A-Z-]+$/.test(method)) {
    throw new InputError(`--method is ${JSON.stringify(options.method)}; write one such as POST.`);
  }
  if (body !== undefined && ['GET', 'HEAD'].includes(method)) {
    throw new InputError(`--data cannot go with ${method}; leave --method out, or write POST.`);
  }
  const headers = readHeaders(options.header ?? []);
  if (body !== undefined && !headers.has('content-type')) {
    headers.set('content-type', 'application/x-www-form-urlencoded');
  }
  return { url, init: { method, headers, ...(body !== undefined && { body }) } };
}

function readHeaders(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const at = line.indexOf(':');
    const name = line.slice(0, Math.max(at, 0)).trim();
    try {
      headers.append(name, line.slice(at + 1).trim());
    } catch {
      // The value may be a secret, so only the name is shown.
      const shown = name === '' ? 'a header without a name' : `the header ${JSON.stringify(name)}`;
      throw new InputError(
        `--header gives ${shown}; write it such as --header "accept: text/csv".`,
      );
    }
  }
  return headers;
}

/** The data itself, or with @ before it the file that it stands in. */
function readData(data: string): Data {
  if (!data.startsWith('@')) return data;
  const path = data.slice(1);
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new InputError(`Cannot read --data from ${path}: ${whyUnreadable(cause)}.`, { cause });
  }
}
