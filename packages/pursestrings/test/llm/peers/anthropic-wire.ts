import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

/** One request for a message as the peer received it. */
export interface PeerRequest {
  /** 1 for the first, in the order of arrival. */
  readonly number: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How a request is answered; by default with a few words, and their honest usage. */
export interface PeerAnswer {
  readonly text?: string;
  /** Blocks besides the text, such as `{ type: 'tool_use', id, name, input }`. */
  readonly blocks?: readonly Readonly<Record<string, unknown>>[];
  readonly model?: string;
  /** Fields of the usage that differ from the honest ones; they are billed. */
  readonly usage?: Readonly<Record<string, unknown>>;
  /** The usage as it is told, where that is not what is billed; not for streams. */
  readonly told?: Readonly<Record<string, unknown>>;
  /** Answer with this error status, and bill nothing. */
  readonly status?: number;
  readonly retryAfterSeconds?: number;
  /** The connection breaks; the call is billed all the same. */
  readonly cut?: 'before-headers' | 'after-headers';
  /** A stream's connection breaks after so many deltas. */
  readonly cutAfterDeltas?: number;
  /** A stream ends with an error event after so many deltas. */
  readonly errorAfterDeltas?: number;
  /** Milliseconds between the deltas of a stream. */
  readonly deltaDelayMs?: number;
  /** Milliseconds before the answer. */
  readonly delayMs?: number;
}

export interface PeerUsage {
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation: {
    readonly ephemeral_5m_input_tokens: number;
    readonly ephemeral_1h_input_tokens: number;
  };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly thinking_tokens: number } | null;
  readonly server_tool_use: {
    readonly web_search_requests: number;
    readonly web_fetch_requests: number;
  } | null;
  readonly service_tier: string;
  readonly inference_geo: string;
  readonly speed: string;
}

export interface PeerMessage extends Readonly<Record<string, unknown>> {
  readonly content: readonly Readonly<Record<string, unknown>>[];
  readonly stop_reason: string;
  readonly usage: PeerUsage;
}

export function messageFor(
  request: PeerRequest,
  answer: PeerAnswer,
  tier: string | null,
): PeerMessage {
  const { body } = request;
  const said = words(answer.text ?? 'Some words to say');
  const cap = typeof body.max_tokens === 'number' ? body.max_tokens : said.length;
  const kept = said.slice(0, cap);
  const blocks = answer.blocks ?? [];
  const uses = blocks.some(({ type }) => type === 'tool_use');
  const text = kept.length === 0 ? [] : [{ type: 'text', text: kept.join(''), citations: null }];
  return {
    id: `msg_${request.number}`,
    type: 'message',
    role: 'assistant',
    model: answer.model ?? body.model,
    content: [...text, ...blocks],
    stop_reason: uses ? 'tool_use' : kept.length < said.length ? 'max_tokens' : 'end_turn',
    stop_sequence: null,
    container: null,
    usage: {
      input_tokens: words(JSON.stringify([body.system, body.messages, body.tools])).length,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      output_tokens: Math.max(1, kept.length),
      output_tokens_details: null,
      server_tool_use: null,
      service_tier: tier ?? 'standard',
      inference_geo: 'global',
      speed: 'standard',
      ...answer.usage,
    },
  };
}

export async function streamMessage(
  message: PeerMessage,
  answer: PeerAnswer,
  outgoing: ServerResponse,
): Promise<void> {
  outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  outgoing.flushHeaders();
  const send = (event: Readonly<Record<string, unknown>>): void => {
    if (!outgoing.destroyed) {
      outgoing.write(`event: ${String(event.type)}\ndata: ${JSON.stringify(event)}\n\n`);
    }
  };
  const { content, stop_reason: reason, usage } = message;
  const start = {
    ...message,
    content: [],
    stop_reason: null,
    usage: { ...usage, output_tokens: 1 },
  };
  if (answer.cut === 'after-headers') {
    await sleep(10);
    outgoing.destroy();
    return;
  }
  send({ type: 'message_start', message: start });
  send({ type: 'ping' });
  let deltas = 0;
  for (const [index, block] of content.entries()) {
    send({ type: 'content_block_start', index, content_block: emptied(block) });
    for (const delta of deltasOf(block)) {
      if (answer.deltaDelayMs !== undefined) await sleep(answer.deltaDelayMs);
      if (deltas === answer.cutAfterDeltas) {
        // What was written is given a moment to leave: a cut loses the future, not the past.
        await sleep(10);
        outgoing.destroy();
        return;
      }
      if (deltas === answer.errorAfterDeltas) {
        send({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } });
        outgoing.end();
        return;
      }
      deltas += 1;
      send({ type: 'content_block_delta', index, delta });
    }
    send({ type: 'content_block_stop', index });
  }
  const { service_tier: _tier, inference_geo: _geo, speed: _speed, ...rest } = usage;
  const { cache_creation: _kept, ...told } = rest;
  const delta = { stop_reason: reason, stop_sequence: null, container: null };
  send({ type: 'message_delta', delta, usage: told });
  send({ type: 'message_stop' });
  outgoing.end();
}

function emptied(block: Readonly<Record<string, unknown>>): object {
  if (block.type === 'text') return { ...block, text: '' };
  if (block.type === 'thinking') return { ...block, thinking: '', signature: '' };
  return block.type === 'tool_use' ? { ...block, input: {} } : block;
}

function deltasOf(block: Readonly<Record<string, unknown>>): object[] {
  if (block.type === 'text') {
    return words(String(block.text)).map((text) => ({ type: 'text_delta', text }));
  }
  if (block.type === 'thinking') {
    return [
      ...words(String(block.thinking)).map((thinking) => ({ type: 'thinking_delta', thinking })),
      { type: 'signature_delta', signature: String(block.signature) },
    ];
  }
  if (block.type !== 'tool_use') return [];
  const json = JSON.stringify(block.input);
  const parts = ['', json.slice(0, 5), json.slice(5)];
  return parts.map((partial) => ({ type: 'input_json_delta', partial_json: partial }));
}

/** Words with the blanks after them: never more than any encoding makes tokens of them. */
export function words(text: string): string[] {
  return text.match(/\S+\s*/g) ?? [];
}

export function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
