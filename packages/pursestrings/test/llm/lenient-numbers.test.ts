import { describe, expect, it } from 'vitest';

import { estimateCall, readUsage } from '../../src/llm/index.ts';
import { openaiTranscriptions } from '../../src/llm/providers/openai/transcriptions.ts';
import { FormFile } from '../../src/llm/providers/provider.ts';

describe('a number of answers that is written as text', () => {
  // Google's servers take it: https://protobuf.dev/programming-guides/json/
  it.each(['3', 3])('is held for by Gemini: %j', async (candidateCount) => {
    const { outputTokens } = await estimateCall(
      {
        contents: [{ parts: [{ text: 'x' }] }],
        generationConfig: { candidateCount, maxOutputTokens: 1_000 },
      },
      {
        url: 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent',
      },
    );
    expect(outputTokens).toBe(3_000);
  });

  // So do servers that convert types: https://docs.pydantic.dev/latest/concepts/conversion_table/
  it.each([{ n: '3' }, { best_of: '3' }, { n: 2, best_of: '3' }])(
    'is held for by a completion: %o',
    async (many) => {
      const prompt = { model: 'gpt-3.5-turbo-instruct', prompt: 'x', max_tokens: 100 };
      expect((await estimateCall({ ...prompt, ...many })).outputTokens).toBe(300);
    },
  );

  it.each(['many', '', '-3', '1e3', '0'])('is one where it is %j', async (n) => {
    const prompt = { model: 'gpt-3.5-turbo-instruct', prompt: 'x', max_tokens: 100, n };
    expect((await estimateCall(prompt)).outputTokens).toBe(100);
  });
});

describe('speech that is shorter than ten seconds', () => {
  const seconds = (url: string, bytes: number): number | undefined =>
    openaiTranscriptions.readCall(
      { model: 'whisper-large-v3', file: new FormFile('a.ogg', 'audio/ogg', bytes) },
      new URL(url),
    )?.pieces.audio_seconds;

  // https://console.groq.com/docs/speech-to-text: ten seconds are billed at the least.
  it('is held and charged for ten by Groq', () => {
    const groq = 'https://api.groq.com/openai/v1/audio/transcriptions';
    expect(seconds(groq, 750)).toBe(10);
    expect(seconds(groq, 750 * 60)).toBe(61);
    const answer = { text: 'x', usage: { type: 'duration', seconds: 3 } };
    expect(readUsage({ ...answer, x_groq: { id: 'req_1' } })?.pieces).toEqual({
      audio_seconds: 10,
    });
    expect(readUsage(answer)?.pieces).toEqual({ audio_seconds: 3 });
  });

  it('is what it is elsewhere', () => {
    expect(seconds('https://api.openai.com/v1/audio/transcriptions', 750)).toBe(2);
  });
});

describe('a quality that no table has', () => {
  it.each(['ultra', 'constructor', '__proto__', 'toString', 7])(
    'is the dearest: %j',
    async (quality) => {
      const image = { model: 'gpt-image-1', prompt: 'x', size: '1024x1024' };
      // https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency, 2026-11-22.
      expect((await estimateCall({ ...image, quality })).outputTokens).toBe(4_160);
    },
  );
});
