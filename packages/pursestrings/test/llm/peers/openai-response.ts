import { billResponse } from './openai-exchange.ts';
import type { Exchange } from './openai-exchange.ts';
import {
  EventWriter,
  messageItem,
  responseObject,
  responseUsage,
  sendJson,
  sleep,
  words,
} from './openai-wire.ts';
import type { Body } from './openai-wire.ts';

let numbers = 0;

/** Answers `POST /responses`: whole, streamed, or in the background. */
export async function serveResponse(exchange: Exchange): Promise<void> {
  const { body } = exchange.request;
  numbers += 1;
  const id = `resp_${process.pid}_${numbers}_${Math.random().toString(16).slice(2)}`;
  if (body.background === true) {
    const response = responseObject(id, body, { status: 'queued' });
    exchange.stored.set(id, { body, answer: exchange.answer, response });
    if (body.stream === true) await streamBackground(exchange, id);
    else sendJson(exchange.outgoing, 200, response);
  } else if (body.stream === true) {
    await streamResponse(exchange, id);
  } else {
    sendResponse(exchange, id);
  }
}

function sendResponse(exchange: Exchange, id: string): void {
  const { request, answer, outgoing, bill } = exchange;
  if (answer.fails === true) {
    const error = { code: 'server_error', message: 'It failed' };
    sendJson(outgoing, 200, responseObject(id, request.body, { status: 'failed', error }));
    return;
  }
  const { kept, cut } = written(exchange);
  const used = billResponse(bill, exchange, kept.length);
  const ending = ended(exchange, kept, cut, responseUsage(answer, used));
  sendJson(outgoing, 200, responseObject(id, request.body, ending));
}

/** The words that the request's cap leaves. */
function written({ request, answer }: Exchange): { kept: readonly string[]; cut: boolean } {
  const all = words(answer.text ?? 'one two three four five');
  const cap = request.body.max_output_tokens;
  const room = typeof cap === 'number' ? Math.max(0, cap - (answer.reasoningTokens ?? 0)) : 1e9;
  return { kept: all.slice(0, room), cut: all.length > room };
}

function ended(
  { answer }: Exchange,
  kept: readonly string[],
  cut: boolean,
  usage: object,
): Record<string, unknown> {
  const said = answer.usage === 'none' ? null : (answer.usage ?? usage);
  return {
    status: cut ? 'incomplete' : 'completed',
    incomplete_details: cut ? { reason: 'max_output_tokens' } : null,
    output: [...(answer.items ?? []), messageItem(kept.join(''), cut ? 'incomplete' : 'completed')],
    service_tier: answer.serviceTier ?? 'default',
    usage: said,
  };
}

/** https://developers.openai.com/api/reference/resources/responses/streaming-events */
async function streamResponse(exchange: Exchange, id: string): Promise<void> {
  const { request, answer, outgoing, bill } = exchange;
  const writer = new EventWriter(outgoing);
  const response = responseObject(id, request.body, {});
  await writer.send('response.created', { response });
  if (answer.fails === true) {
    await writer.send('response.failed', { response: { ...response, status: 'failed' } });
    writer.end();
    return;
  }
  const { kept, cut } = written(exchange);
  const index = answer.items?.length ?? 0;
  for (const [position, item] of (answer.items ?? []).entries()) {
    await writer.send('response.output_item.added', { output_index: position, item });
    await writer.send('response.output_item.done', { output_index: position, item });
  }
  const at = { item_id: 'msg_1', output_index: index, content_index: 0 };
  const part = { type: 'output_text', text: '', annotations: [] };
  await writer.send('response.output_item.added', {
    output_index: index,
    item: messageItem('', 'in_progress'),
  });
  await writer.send('response.content_part.added', { ...at, part });
  let sent = 0;
  for (const delta of kept) {
    if (answer.deltaMs !== undefined) await sleep(answer.deltaMs);
    if (sent === answer.cutAfter || outgoing.destroyed) break;
    sent += 1;
    await writer.send('response.output_text.delta', { ...at, delta, logprobs: [] });
  }
  const used = billResponse(bill, exchange, sent);
  if (sent < kept.length) {
    await writer.cut();
    return;
  }
  const text = kept.join('');
  await writer.send('response.output_text.done', { ...at, text, logprobs: [] });
  await writer.send('response.content_part.done', { ...at, part: { ...part, text } });
  const item = messageItem(text, 'completed');
  await writer.send('response.output_item.done', { output_index: index, item });
  const ending = ended(exchange, kept, cut, responseUsage(answer, used));
  const type = cut ? 'response.incomplete' : 'response.completed';
  await writer.send(type, { response: { ...response, ...ending } });
  writer.end();
}

/** Says that it began, and is then cut: the response goes on. */
async function streamBackground({ request, outgoing }: Exchange, id: string): Promise<void> {
  const body: Body = request.body;
  const writer = new EventWriter(outgoing);
  const response = responseObject(id, body, { status: 'queued' });
  await writer.send('response.created', { response });
  await writer.send('response.queued', { response });
  await writer.cut();
}
