import { describe, expect, test } from 'vitest';
import { purseHere, purseJsonHere, temporaryDirectory, writeTo } from './purse-process.ts';

interface RowsJson {
  readonly requests: number;
  readonly admitted: number;
  readonly badRows: number;
  readonly badRowDetails: readonly {
    readonly line: number;
    readonly column: string | null;
    readonly value: string;
    readonly reason: string;
  }[];
  readonly unlimited: { readonly usd: number; readonly tokens: number; readonly calls: number };
  readonly since: string;
  readonly jumpedBack: number;
}

const HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';
const GOOD = '2023-11-16 18:17:04.0319600,10,5';

function replayText(text: string, ...args: readonly string[]): Promise<RowsJson> {
  const trace = writeTo(temporaryDirectory(), 'trace.csv', text);
  return purseJsonHere<RowsJson>(['replay', trace, '--model', 'gpt-4o', ...args]);
}

describe('bad rows', () => {
  test('are counted and named, one by one, and the good ones around them stay', async () => {
    const bad: readonly (readonly [row: string, column: string | null, reason: RegExp])[] = [
      ['', null, /empty/],
      ['not a time,10,5', 'TIMESTAMP', /no time/],
      [',10,5', 'TIMESTAMP', /empty/],
      ['2023-02-30 00:00:00,10,5', 'TIMESTAMP', /no time/],
      ['2023-11-16 24:00:00,10,5', 'TIMESTAMP', /no time/],
      ['2023,10,5', 'TIMESTAMP', /no time/],
      ['2023-11-16 18:17:04,-1,5', 'ContextTokens', /negative/],
      ['2023-11-16 18:17:04,1.5,5', 'ContextTokens', /whole/],
      ['2023-11-16 18:17:04,1e3,5', 'ContextTokens', /whole/],
      ['2023-11-16 18:17:04,,5', 'ContextTokens', /empty/],
      ['2023-11-16 18:17:04,10,NaN', 'GeneratedTokens', /not a number/],
      ['2023-11-16 18:17:04,10,1e999', 'GeneratedTokens', /not a number/],
      ['2023-11-16 18:17:04,10,99999999999999999999', 'GeneratedTokens', /more than/],
      ['2023-11-16 18:17:04,10', 'GeneratedTokens', /2 fields/],
      ['2023-11-16 18:17:04,10,5,7', null, /4 fields/],
      ['"2023-11-16 18:17:04,10,5', null, /quote/],
      ['2023-11-16 18:17:04,1"0,5', null, /quote/],
      ['2023-11-16 18:17:04,"10" 1,5', null, /quote/],
    ];
    const text = [HEADER, GOOD, ...bad.flatMap(([row]) => [row, GOOD])].join('\n');
    const result = await replayText(text);
    expect(result).toMatchObject({ requests: bad.length + 1, badRows: bad.length });
    expect(result.unlimited.tokens).toBe(15 * (bad.length + 1));
    expect(result.badRowDetails.map(({ line, column }) => [line, column])).toEqual(
      bad.map(([, column], index) => [3 + 2 * index, column]),
    );
    for (const [index, [, , reason]] of bad.entries()) {
      expect(result.badRowDetails[index]?.reason).toMatch(reason);
    }
    expect(result.badRowDetails[6]?.value).toBe('-1');
  });

  test('of a model without a price are bad rows too', async () => {
    const result = await replayText(
      'Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n' +
        '0,no-such-model,1,1,2,API log\n1,gpt-4o,1,1,2,API log\n2,,1,1,2,API log\n',
    );
    expect(result).toMatchObject({ requests: 2, badRows: 1 });
    expect(result.badRowDetails).toEqual([
      {
        line: 2,
        column: 'Model',
        value: 'no-such-model',
        reason: 'it has no known price; add one with --prices',
      },
    ]);
  });

  test('of a model name too long to be a label are bad rows too', async () => {
    const result = await replayText(
      `Timestamp,Model,Request tokens,Response tokens\n0,gpt-4o-${'x'.repeat(2000)},1,1\n`,
    );
    expect(result).toMatchObject({ requests: 0, badRows: 1 });
    expect(result.badRowDetails[0]).toMatchObject({
      column: 'Model',
      reason: 'it is longer than 256 characters',
    });
  });

  test('are all counted, and the first hundred named', async () => {
    const result = await replayText(`${HEADER}\n${'x,1,1\n'.repeat(250)}${GOOD}\n`);
    expect(result).toMatchObject({ requests: 1, badRows: 250 });
    expect(result.badRowDetails).toHaveLength(100);
  });

  test('are named to people', async () => {
    const trace = writeTo(
      temporaryDirectory(),
      'trace.csv',
      `${HEADER}\n2023-11-16 18:17:04,-7,1\n`,
    );
    const { status, stdout } = await purseHere(['replay', trace, '--model', 'gpt-4o']);
    expect(status).toBe(0);
    expect(stdout).toContain('line 2: ContextTokens "-7": it is negative');
  });

  test('of a quote that never closes cost one row, not the rest of the file', async () => {
    const rows = Array.from({ length: 300 }, () => GOOD).join('\n');
    const result = await replayText(`${HEADER}\n"${GOOD}\n${rows}\n`);
    expect(result).toMatchObject({ requests: 300, badRows: 1 });
  });
});

describe('a trace file', () => {
  test('may have a byte order mark, CRLF and no last line end', async () => {
    const plain = await replayText(`${HEADER}\n${GOOD}\n${GOOD}\n`);
    const odd = await replayText(`\uFEFF${HEADER}\r\n${GOOD}\r\n${GOOD}`);
    expect(odd).toEqual(plain);
    expect(odd).toMatchObject({ requests: 2, badRows: 0, since: '2023-11-16T18:17:04.031Z' });
  });

  test('may end in empty lines, which are no rows', async () => {
    expect(await replayText(`${HEADER}\n${GOOD}\n\n\r\n\n`)).toMatchObject({
      requests: 1,
      badRows: 0,
    });
  });

  test('may quote its fields, with commas and line ends inside', async () => {
    const result = await replayText(
      'at,note,in,out\n"2023-11-16T20:00:00+02:00","one, two\nand ""three""","1","2.0"\n',
      '--columns',
      'time=at,prompt=in,completion=out',
    );
    expect(result).toMatchObject({ requests: 1, badRows: 0, since: '2023-11-16T18:00:00.000Z' });
    expect(result.unlimited.tokens).toBe(3);
  });

  test('may have other columns, in any order, with a model of its own', async () => {
    const result = await replayText(
      'engine,x,out,in,when\ngpt-4o-mini,?,1000,0,12.0009\ngpt-4o,?,0,1000,11\n',
      '--columns',
      'time=when,prompt=in',
      '--columns',
      'completion=out,model=engine',
    );
    expect(result).toMatchObject({ requests: 2, since: '1970-01-01T00:00:11.000Z' });
    // 1,000 output tokens of gpt-4o-mini at $0.60 and 1,000 input tokens of gpt-4o at $2.50 a million.
    expect(result.unlimited).toEqual({ usd: 0.0031, tokens: 2000, calls: 2 });
  });

  test('that jumps back over a day says so', async () => {
    const result = await replayText(
      `${HEADER}\n2023-11-16 00:00:00,1,1\n2023-11-14 00:00:00,1,1\n2023-11-15 23:00:00,1,1\n`,
    );
    expect(result).toMatchObject({ requests: 3, jumpedBack: 1 });
  });

  test('without a column that is needed is misuse, and names the header and the remedy', async () => {
    const trace = writeTo(
      temporaryDirectory(),
      'trace.csv',
      'TIMESTAMP,Prompt,Completion\n1,2,3\n',
    );
    const missing = await purseHere(['replay', trace, '--model', 'gpt-4o']);
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain('"TIMESTAMP,Prompt,Completion"');
    expect(missing.stderr).toContain('--columns');
    const wrong = await purseHere([
      'replay',
      trace,
      '--model',
      'gpt-4o',
      '--columns',
      'prompt=Nope',
    ]);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain('"Nope"');
  });

  test.each([
    ['has no header', ['{trace}', '--model', 'gpt-4o'], '', /first line must be a header/],
    ['is not there', ['/no/such/trace.csv', '--model', 'gpt-4o'], '', /no such file/],
    ['has no model', ['{trace}'], `${HEADER}\n${GOOD}`, /--model gpt-4o/],
    ['has no price', ['{trace}', '--model', 'nope-9'], `${HEADER}\n${GOOD}`, /"nope-9".*--prices/],
    ['maps no such role', ['{trace}', '--columns', 'tokens=a'], HEADER, /"tokens"/],
  ])('that %s is misuse', async (_, args, text, message) => {
    const trace = writeTo(temporaryDirectory(), 'trace.csv', text);
    const ended = await purseHere(['replay', ...args.map((arg) => arg.replace('{trace}', trace))]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
    expect(ended.stdout).toBe('');
  });
});
