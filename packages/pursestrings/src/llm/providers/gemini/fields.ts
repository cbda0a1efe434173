import { isObject } from '../provider.ts';
import type { JsonObject } from '../provider.ts';

/**
 * Reads a field by either of its spellings: Google's servers take `maxOutputTokens` and
 * `max_output_tokens`. https://protobuf.dev/programming-guides/json/
 */
export function field(object: JsonObject, name: string): unknown {
  return object[name] ?? object[snake(name)];
}

/** The spelling of a field that is in use, or the usual one. */
export function spelling(object: JsonObject, name: string): string {
  return object[name] === undefined && object[snake(name)] !== undefined ? snake(name) : name;
}

/** A field that holds an object; an empty one where it does not. */
export function objectField(object: JsonObject, name: string): JsonObject {
  const value = field(object, name);
  return isObject(value) ? value : {};
}

/** The objects in a field that holds a list, or one of them alone. */
export function listField(object: JsonObject, name: string): readonly JsonObject[] {
  const value = field(object, name);
  if (Array.isArray(value)) return (value as readonly unknown[]).filter(isObject);
  return isObject(value) ? [value] : [];
}

/**
 * A request as it is sent, from one as the SDK takes it: that names its model, and has everything
 * beside the contents under `config`.
 */
export function asSent(body: JsonObject): JsonObject {
  const { config } = body;
  if (typeof body.model !== 'string' || !isObject(config)) return body;
  return { ...config, generationConfig: config, ...body };
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
