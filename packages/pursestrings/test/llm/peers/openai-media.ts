import { PIECE_ATTOS } from './openai-bill.ts';
import { inputTokens } from './openai-exchange.ts';
import type { Exchange } from './openai-exchange.ts';
import { EventWriter, sendJson, sleep, words } from './openai-wire.ts';

/** Answers everything but responses: completions, embeddings, images, speech, transcriptions. */
export async function serveMedia(
  exchange: Exchange,
  pieces: (attos: bigint) => void,
): Promise<void> {
  const { path } = exchange.request;
  if (path.endsWith('/completions')) await serveCompletion(exchange);
  else if (path.endsWith('/embeddings')) serveEmbedding(exchange);
  else if (path.includes('/images/')) await serveImages(exchange);
  else if (path.endsWith('/audio/speech')) await serveSpeech(exchange, pieces);
  else await serveTranscription(exchange, pieces);
}

async function serveCompletion({ request, answer, outgoing, bill }: Exchange): Promise<void> {
  const { body } = request;
  const model = String(body.model);
  const prompts = Array.isArray(body.prompt) ? body.prompt.length : 1;
  const made = prompts * Math.max(Number(body.n ?? 1), Number(body.best_of ?? 1));
  const texts = words(answer.text ?? 'one two three').slice(0, Number(body.max_tokens ?? 16));
  const input = inputTokens(request, answer);
  // Of a stream that is cut, what was written is billed.
  const cut = body.stream === true && (answer.cutAfter ?? texts.length) < texts.length;
  bill(model, { input, output: cut ? Number(answer.cutAfter) : texts.length * made });
  const usage = {
    prompt_tokens: input,
    completion_tokens: texts.length * made,
    total_tokens: input + texts.length * made,
  };
  const head = { id: 'cmpl-1', object: 'text_completion', created: 1, model };
  const choice = (text: string, index: number): object => ({
    text,
    index,
    logprobs: null,
    finish_reason: 'stop',
  });
  if (body.stream !== true) {
    const choices = Array.from({ length: prompts * Number(body.n ?? 1) }, (_, index) =>
      choice(texts.join(''), index),
    );
    sendJson(outgoing, 200, { ...head, choices, usage });
    return;
  }
  const writer = new EventWriter(outgoing);
  for (const [sent, text] of texts.entries()) {
    if (answer.deltaMs !== undefined) await sleep(answer.deltaMs);
    if (sent === answer.cutAfter) return writer.cut();
    await writer.sendRaw(`data: ${JSON.stringify({ ...head, choices: [choice(text, 0)] })}\n\n`);
  }
  const options = body.stream_options;
  if (typeof options === 'object' && options !== null && 'include_usage' in options) {
    await writer.sendRaw(`data: ${JSON.stringify({ ...head, choices: [], usage })}\n\n`);
  }
  await writer.sendRaw('data: [DONE]\n\n');
  writer.end();
}

function serveEmbedding({ request, answer, outgoing, bill }: Exchange): void {
  const { body } = request;
  const model = String(body.model);
  const input = inputTokens(request, answer);
  bill(model, { input });
  const vector = new Float32Array([0.5, -0.25]);
  const packed = Buffer.from(vector.buffer).toString('base64');
  const embedding = body.encoding_format === 'base64' ? packed : [...vector];
  const usage = answer.usage ?? { prompt_tokens: input, total_tokens: input };
  const data = [{ object: 'embedding', index: 0, embedding }];
  sendJson(outgoing, 200, { object: 'list', model, data, usage });
}

async function serveImages({ request, answer, outgoing, bill }: Exchange): Promise<void> {
  const { body, path } = request;
  const model = String(body.model);
  const made = Number(body.n ?? 1);
  const input = inputTokens(request, answer);
  const inputImage = answer.inputImageTokens ?? 0;
  const outputImage = (answer.outputImageTokens ?? 272) * made;
  const text = words(answer.text ?? '').length;
  const counts = { input, outputImage, ...(text === 0 ? {} : { output: text }) };
  bill(model, inputImage === 0 ? counts : { ...counts, inputImage });
  const usage = {
    input_tokens: input + inputImage,
    input_tokens_details: { text_tokens: input, image_tokens: inputImage },
    output_tokens: outputImage + text,
    total_tokens: input + inputImage + outputImage + text,
  };
  const details = { output_tokens_details: { image_tokens: outputImage, text_tokens: text } };
  if (body.stream !== true && body.stream !== 'true') {
    const data = Array.from({ length: made }, () => ({ b64_json: 'AAAA' }));
    const said = answer.usage === 'none' ? {} : { usage: { ...usage, ...details } };
    sendJson(outgoing, 200, { created: 1, data, ...said });
    return;
  }
  const kind = path.endsWith('/edits') ? 'image_edit' : 'image_generation';
  const writer = new EventWriter(outgoing);
  await writer.send(`${kind}.partial_image`, { b64_json: 'AA', partial_image_index: 0 });
  if (answer.cutAfter !== undefined) return writer.cut();
  await writer.send(`${kind}.completed`, { b64_json: 'AAAA', usage });
  writer.end();
}

async function serveSpeech(
  { request, answer, outgoing, bill }: Exchange,
  pieces: (attos: bigint) => void,
): Promise<void> {
  const { body } = request;
  const model = String(body.model);
  const input = inputTokens(request, answer);
  const output = words(answer.text ?? 'a b c d').length;
  if (model === 'tts-1') {
    pieces(BigInt(Array.from(String(body.input)).length) * PIECE_ATTOS.character);
  } else bill(model, { input, output });
  if (body.stream_format !== 'sse') {
    outgoing.writeHead(200, { 'content-type': 'audio/mpeg' }).end(Buffer.alloc(64));
    return;
  }
  const writer = new EventWriter(outgoing);
  await writer.send('speech.audio.delta', { audio: 'AAAA' });
  if (answer.cutAfter !== undefined) return writer.cut();
  const usage = { input_tokens: input, output_tokens: output, total_tokens: input + output };
  await writer.send('speech.audio.done', { usage });
  writer.end();
}

async function serveTranscription(
  { request, answer, outgoing, bill }: Exchange,
  pieces: (attos: bigint) => void,
): Promise<void> {
  const { body } = request;
  const model = String(body.model);
  const seconds = answer.seconds ?? 3;
  const text = answer.text ?? 'what was said';
  if (model === 'whisper-1') {
    pieces(BigInt(Math.ceil(seconds)) * PIECE_ATTOS.second);
    if (body.response_format === 'text') {
      outgoing.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
      return;
    }
    const verbose = body.response_format === 'verbose_json' ? { duration: seconds } : {};
    const usage = answer.usage === 'none' ? {} : { usage: { type: 'duration', seconds } };
    sendJson(outgoing, 200, { text, ...verbose, ...usage });
    return;
  }
  const input = answer.inputTokens ?? 5;
  const inputAudio = seconds * 10;
  const output = words(text).length;
  bill(model, { input, inputAudio, output });
  const usage = {
    type: 'tokens',
    input_tokens: input + inputAudio,
    input_token_details: { text_tokens: input, audio_tokens: inputAudio },
    output_tokens: output,
    total_tokens: input + inputAudio + output,
  };
  if (body.stream !== 'true') {
    sendJson(outgoing, 200, { text, usage });
    return;
  }
  const writer = new EventWriter(outgoing);
  for (const delta of words(text)) await writer.send('transcript.text.delta', { delta });
  await writer.send('transcript.text.done', { text, usage });
  writer.end();
}
