import fc from 'fast-check';
import { expect, it } from 'vitest';

import { geminiPeer, geminiText } from './peers/gemini-peer.ts';
import type { GeminiRequest } from './peers/gemini-peer.ts';
import { openPeerLedger, picos, stepsOf } from './peers/peer-ledger.ts';

/** USD for a million tokens: https://ai.google.dev/gemini-api/docs/pricing, 2026-11-22. */
const RATES = { input: picos('0.3'), audio: picos('1'), output: picos('2.5') };

interface Part {
  readonly text?: string;
  readonly inlineData?: { readonly mimeType: string; readonly data: string };
}

interface Body {
  readonly contents: readonly { readonly parts: readonly Part[] }[];
  readonly systemInstruction?: { readonly parts: readonly Part[] };
  readonly tools?: readonly object[];
  readonly generationConfig: { readonly maxOutputTokens: number; readonly candidateCount: number };
}

/** The dearest reading of a request: every byte of text a token, and the largest of images. */
function promptOf(body: Body): { readonly text: number; readonly media: number; audio: number } {
  let text = 0;
  let media = 0;
  let audio = 0;
  const contents = [...body.contents, ...(body.systemInstruction ? [body.systemInstruction] : [])];
  for (const { parts } of contents) {
    text += 4;
    for (const part of parts) {
      if (part.text !== undefined) text += Buffer.byteLength(part.text);
      const data = part.inlineData;
      if (data === undefined) continue;
      const bytes = Buffer.from(data.data, 'base64').length;
      if (data.mimeType.startsWith('image/')) media += 2_240;
      else if (data.mimeType === 'application/pdf') media += 1_000 * 258;
      // 32 tokens a second, at 8 kbit/s.
      else audio += Math.ceil((bytes / 1_000) * 32);
    }
  }
  if (body.tools !== undefined) text += Buffer.byteLength(JSON.stringify(body.tools));
  return { text, media, audio };
}

it('holds never less than the dearest bill of a random request', { timeout: 60_000 }, async () => {
  const bill = (request: GeminiRequest): ReturnType<typeof geminiText> => {
    const body = request.body as unknown as Body;
    const { text, media, audio } = promptOf(body);
    const { maxOutputTokens, candidateCount } = body.generationConfig;
    // Thoughts and answers fill the cap.
    const output = maxOutputTokens * candidateCount;
    const usage = {
      promptTokenCount: text + media + audio,
      candidatesTokenCount: 1,
      thoughtsTokenCount: output - 1,
      totalTokenCount: text + media + audio + output,
      promptTokensDetails: [
        { modality: 'TEXT', tokenCount: text },
        { modality: 'IMAGE', tokenCount: media },
        { modality: 'AUDIO', tokenCount: audio },
      ],
    };
    const cost =
      BigInt(text + media) * RATES.input +
      BigInt(audio) * RATES.audio +
      BigInt(output) * RATES.output;
    return geminiText('one', usage, { picos: cost });
  };
  const peer = await geminiPeer(bill);
  const ledger = await openPeerLedger(peer.url, {
    limits: [{ name: 'all', cap: { usd: 10_000 } }],
  });
  const held: number[] = [];
  ledger.purse.on('charge', (charge) => held.push(charge.held?.usd ?? 0));
  const data = fc
    .uint8Array({ maxLength: 3_000 })
    .map((bytes) => Buffer.from(bytes).toString('base64'));
  const part = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 200 }).map((text) => ({ text })),
    fc.record({
      inlineData: fc.record({
        mimeType: fc.constantFrom('image/png', 'audio/mp3', 'audio/flac', 'application/pdf'),
        data,
      }),
    }),
  );
  const content = fc.record({ role: fc.constant('user'), parts: fc.array(part, { maxLength: 4 }) });
  const request = fc.record(
    {
      contents: fc.array(content, { minLength: 1, maxLength: 4 }),
      systemInstruction: content,
      tools: fc.constant([
        { functionDeclarations: [{ name: 'f', parameters: { type: 'OBJECT' } }] },
      ]),
      generationConfig: fc.record({
        maxOutputTokens: fc.integer({ min: 1, max: 9_000 }),
        candidateCount: fc.integer({ min: 1, max: 3 }),
      }),
    },
    { requiredKeys: ['contents', 'generationConfig'] },
  );
  await fc.assert(
    fc.asyncProperty(request, async (body) => {
      const before = { spent: await ledger.spentSteps(), billed: peer.billedPicos };
      const url = `${peer.url}/v1beta/models/gemini-2.5-flash:generateContent`;
      const response = await ledger.fetch(url, { method: 'POST', body: JSON.stringify(body) });
      expect(response.status).toBe(200);
      const billed = stepsOf(peer.billedPicos - before.billed);
      expect((await ledger.spentSteps()) - before.spent).toBe(billed);
      expect(BigInt(Math.round((held.at(-1) ?? 0) * 1e8))).toBeGreaterThanOrEqual(billed);
    }),
    { numRuns: 100 },
  );
});
