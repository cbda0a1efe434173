import { describe, expect, test } from 'vitest';
import { purseHere, purseJsonHere, temporaryDirectory, writeTo } from './purse-process.ts';

interface Answer {
  readonly prices: readonly { readonly asked: string; readonly usdPerMillion: object }[];
  readonly unknown: readonly { readonly asked: string }[];
}

describe('purse prices', () => {
  // https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-22.
  test('shows every rate of one model, and who says so', async () => {
    const { status, stdout, stderr } = await purseHere(['prices', 'claude-sonnet-4-5']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(
      'claude-sonnet-4-5 by anthropic, from genai-prices:anthropic/claude-sonnet-4-5',
    );
    expect(stdout).toContain('Context window: 200,000 tokens');
    const rows = stdout.split('\n').map((line) => line.trim().split(/ {2,}/));
    expect(rows).toContainEqual([
      'per million tokens',
      'input',
      'cached input',
      'cache write',
      'write, 1 hour',
      'output',
    ]);
    expect(rows).toContainEqual(['standard', '$3', '$0.3', '$3.75', '$6', '$15']);
    expect(rows).toContainEqual(['standard >200,000', '$6', '$0.6', '$7.5', '$12', '$22.5']);
    expect(rows).toContainEqual(['batch', '$1.5', '$0.15', '$1.875', '$3', '$7.5']);
    expect(rows).toContainEqual(['batch >200,000', '$3', '$0.3', '$3.75', '$6', '$11.25']);
    expect(stdout).toMatch(/web searches +\$0\.01/);
  });

  test('shows what is billed by the piece alone', async () => {
    const { status, stdout } = await purseHere(['prices', 'whisper-1']);
    expect(status).toBe(0);
    expect(stdout).not.toContain('per million tokens');
    expect(stdout).toMatch(/audio seconds +\$0\.0001/);
  });

  test('shows several side by side, each once', async () => {
    const models = ['gpt-4o', 'claude-sonnet-4-5', 'gpt-4o'];
    const { status, stdout } = await purseHere(['prices', ...models]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/gpt-4o +\$2\.5 +\$1\.25 +\$10 +128,000 +genai-prices:openai\/gpt-4o/);
    expect(stdout).toMatch(/claude-sonnet-4-5 +\$3 +\$0\.3 +\$15 +>200,000: \$6 in, \$22\.5 out/);
    expect(stdout.match(/ gpt-4o /g)).toHaveLength(1);
  });

  test('answers machines in exact decimals', async () => {
    const { prices, unknown } = await purseJsonHere<Answer>(['prices', 'gpt-4o']);
    expect(unknown).toEqual([]);
    expect(prices).toHaveLength(1);
    expect(prices[0]).toMatchObject({
      asked: 'gpt-4o',
      model: 'gpt-4o',
      provider: 'openai',
      source: 'genai-prices:openai/gpt-4o',
      usdPerMillion: { input: '2.5', cachedInput: '1.25', output: '10' },
    });
  });

  test('puts a price book first, given or of the config file', async () => {
    const directory = temporaryDirectory();
    const book = writeTo(
      directory,
      'prices.yaml',
      'mine: { usdPerMillion: { input: 0.5, output: 1.25 } }',
    );
    const config = writeTo(directory, 'purse.yaml', 'prices: prices.yaml');
    for (const option of [
      ['--prices', book],
      ['--config', config],
    ]) {
      const { prices } = await purseJsonHere<Answer>(['prices', 'mine', ...option]);
      expect(prices[0]).toMatchObject({
        source: 'prices',
        usdPerMillion: { input: '0.5', output: '1.25' },
      });
    }
  });

  test('goes by the host that it is told', async () => {
    const { prices } = await purseJsonHere<Answer>([
      'prices',
      'gpt-4o',
      '--url',
      'https://eu.api.openai.com/v1',
    ]);
    expect(prices[0]?.usdPerMillion).toMatchObject({ input: '2.75' });
  });
});

describe('a model without a price', () => {
  test('is status 1, with names like it and the remedy', async () => {
    const { status, stdout, stderr } = await purseHere(['prices', 'gtp-4o']);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      'purse: No price is known for the model "gtp-4o"; did you mean gpt-4o? ' +
        'Else add it to a price book (--prices).',
    );
    const nothing = await purseHere(['prices', 'qqqqqqqqqqqqqqqq']);
    expect(nothing.stderr).toContain('check its name, or add it to a price book (--prices)');
  });

  test('is told which host sells it', async () => {
    const { status, stderr } = await purseHere(['prices', 'llama-3.3-70b-versatile']);
    expect(status).toBe(1);
    expect(stderr).toContain('groq sells it, so give --url https://api.groq.com/openai/v1.');
    const elsewhere = ['prices', 'gpt-4o', '--url', 'https://api.anthropic.com'];
    expect((await purseHere(elsewhere)).stderr).toContain(
      'No price is known for the model "gpt-4o" at api.anthropic.com; ' +
        'give --url https://api.openai.com/v1, where it has one',
    );
  });

  test('does not hide those that have one', async () => {
    const { status, stdout, stderr } = await purseHere(['prices', 'gpt-4o', 'gtp-4o']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/gpt-4o +\$2\.5/);
    expect(stderr).toContain('"gtp-4o"');
    const json = await purseHere(['prices', 'gpt-4o', 'gtp-4o', '--json']);
    expect(json.status).toBe(1);
    const answer = JSON.parse(json.stdout) as Answer;
    expect(answer.prices.map(({ asked }) => asked)).toEqual(['gpt-4o']);
    expect(answer.unknown).toEqual([
      {
        asked: 'gtp-4o',
        similar: [{ provider: 'openai', model: 'gpt-4o', url: 'https://api.openai.com/v1' }],
      },
    ]);
  });
});

describe('misuse', () => {
  test.each([
    ['no model', ['prices']],
    ['no URL', ['prices', 'gpt-4o', '--url', 'nowhere']],
    ['no price book', ['prices', 'gpt-4o', '--prices', '/no/such/file.yaml']],
  ])('%s is status 2', async (_, args) => {
    const { status, stdout, stderr } = await purseHere(args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^purse: /);
  });
});
