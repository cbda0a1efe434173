import { describe, expect, test } from 'vitest';
import { purse, purseHere, purseJsonHere, temporaryDirectory, writeTo } from './purse-process.ts';

const STORE = ['--store', 'memory:'];

describe('a limits file', () => {
  test.each([
    ['is no mapping', '- name: a', /limits\.yaml.*`limits:`/],
    ['has another key', 'limit: []', /limits\.yaml.*"limit" is not a known key/],
    ['has no list', 'limits: {}', /limits\.yaml.*must be a list/],
    ['has an empty list', 'limits: []', /limits\.yaml.*must be a list/],
    ['has a limit without a name', 'limits: [{ cap: { usd: 1 } }]', /limit 1 of 1 has no `name`/],
    ['has a text as a limit', 'limits: [day]', /limit 1 of 1 is not a mapping/],
    ['has no cap', 'limits: [{ name: day }]', /limits\.yaml: Limit "day": `cap`/],
    ['misspells a field', 'limits: [{ name: day, cap: { usd: 1 }, pre: day }]', /"day": `pre`/],
    [
      'has a bad period',
      'limits: [{ name: day, cap: { usd: 1 }, per: fortnight }]',
      /"day": `per`/,
    ],
    ['has a bad zone', 'limits: [{ name: d, cap: { usd: 1 }, timeZone: Mars }]', /"d": `timeZone`/],
    ['has a bad amount', 'limits: [{ name: day, cap: { usd: -1 } }]', /"day": `cap\.usd`/],
    ['has a bad unit', 'limits: [{ name: day, cap: { usb: 1 } }]', /"day": `cap\.usb`/],
    [
      'names one twice',
      'limits: [{ name: d, cap: { usd: 1 } }, { name: d, cap: { usd: 2 } }]',
      /"d"/,
    ],
    ['is no YAML', 'limits:\n  - name: [day\n', /limits\.yaml: line \d/],
  ])('that %s is named, with what is wrong', async (_, text, message) => {
    const file = writeTo(temporaryDirectory(), 'limits.yaml', text);
    const ended = await purseHere(['limits', 'set', ...STORE, '--file', file]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr).toContain('limits.yaml');
    expect(ended.stderr.trim().split('\n')).toHaveLength(1);
  });

  test('may be JSON', async () => {
    const limits = [{ name: 'day', cap: { usd: '0.10' }, per: 'day' }];
    const file = writeTo(temporaryDirectory(), 'limits.json', JSON.stringify({ limits }));
    expect(await purseJsonHere(['limits', 'set', ...STORE, '--file', file])).toEqual({
      set: ['day'],
    });
    const broken = writeTo(temporaryDirectory(), 'limits.json', '{ "limits": [');
    const ended = await purseHere(['limits', 'set', ...STORE, '--file', broken, '--json']);
    expect(ended.status).toBe(2);
    const { error } = JSON.parse(ended.stderr) as { error: { code: string; message: string } };
    expect(error.code).toBe('INVALID_INPUT');
    expect(error.message).toContain('limits.json');
  });

  test('that ships as the example is valid', async () => {
    const file = new URL('../../../examples/limits.yaml', import.meta.url).pathname;
    const { set } = await purseJsonHere<{ set: string[] }>([
      'limits',
      'set',
      ...STORE,
      '--file',
      file,
    ]);
    expect(set).toContain('everything');
  });
});

describe('a price book', () => {
  test.each([
    ['has no price', 'a: 5', /"a" has no price/],
    ['lacks a rate', 'a: { usdPerMillion: { input: 1 } }', /"a" needs both rates/],
    ['misspells a rate', 'a: { usdPerMillion: { input: 1, output: 2, cashed: 3 } }', /"cashed"/],
    ['has a bad rate', 'a: { usdPerMillion: { input: -1, output: 2 } }', /"a": -1 is no price/],
  ])('that %s is named, with the model', async (_, text, message) => {
    const directory = temporaryDirectory();
    const prices = writeTo(directory, 'prices.yaml', text);
    const trace = writeTo(directory, 'trace.csv', 'TIMESTAMP,ContextTokens,GeneratedTokens\n');
    const ended = await purseHere(['replay', trace, '--model', 'a', '--prices', prices]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain('prices.yaml');
    expect(ended.stderr).toMatch(message);
  });
});

describe('a config file', () => {
  test('gives the store, the units and the limits; its paths are relative to it', async () => {
    const directory = temporaryDirectory();
    writeTo(
      directory,
      'purse.yaml',
      'store: sqlite:./ledger.db\nledger: team\ntimeZone: Europe/Berlin\n' +
        'units: { gpu_minutes: { decimals: 3 } }\nlimits: limits.yaml\n',
    );
    writeTo(
      directory,
      'limits.yaml',
      'limits: [{ name: gpu, cap: { gpu_minutes: 1.5 }, per: day }]',
    );
    const config = ['--config', `${directory}/purse.yaml`];
    expect(await purseJsonHere(['limits', 'set', ...config])).toEqual({ set: ['gpu'] });
    const found = await purse(['limits', '--json'], { cwd: directory });
    expect(JSON.parse(found.stdout)).toMatchObject({
      limits: [{ name: 'gpu', timeZone: 'Europe/Berlin', cap: { gpu_minutes: 1.5 } }],
    });
    const other = ['limits', '--store', `sqlite:${directory}/ledger.db`];
    expect(await purseJsonHere([...other, '--ledger', 'team'])).toMatchObject({
      limits: [{ name: 'gpu' }],
    });
    expect(await purseJsonHere(other)).toMatchObject({ limits: [] });
  });

  test('gives a replay its store, unless that has charges', async () => {
    const directory = temporaryDirectory();
    const config = writeTo(
      directory,
      'purse.yaml',
      'store: sqlite:./replayed.db\nprices: prices.yaml\nlimits: [{ name: one, cap: { calls: 1 } }]\n',
    );
    writeTo(directory, 'prices.yaml', 'mine: { usdPerMillion: { input: 1, output: 1 } }');
    const trace = writeTo(
      directory,
      'trace.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:00,1,1\n2023-11-16 10:00:01,1,1\n',
    );
    const args = ['replay', trace, '--config', config, '--model', 'mine'];
    expect(await purseJsonHere(args)).toMatchObject({ admitted: 1, denied: 1 });
    expect(await purseJsonHere(['verify', '--config', config])).toMatchObject({ charges: 1 });
    const again = await purseHere(args);
    expect(again.status).toBe(2);
    expect(again.stderr).toContain('--store memory:');
    const elsewhere = await purseJsonHere([...args, '--store', 'memory:']);
    expect(elsewhere).toMatchObject({ admitted: 1, denied: 1 });
    const onTop = await purseHere([...args, '--store', `sqlite:${directory}/replayed.db`]);
    expect(onTop.status).toBe(0);
    expect(onTop.stderr).toContain('already has charges');
    expect(onTop.stdout).toMatch(/denied +2 /);
  });

  test.each([
    ['an unknown key', 'stores: x\n', /purse\.yaml: "stores" is not a known key/],
    ['a store that is no text', 'store: 5\n', /purse\.yaml: `store` is 5/],
    ['bad units', 'store: "memory:"\nunits: { gpu: { decimal: 3 } }\n', /`units\.gpu`.*"decimal"/],
    ['bad limits', 'store: "memory:"\nlimits: [{ name: 1 }]\n', /purse\.yaml.*`name`/],
    ['no store', 'ledger: x\n', /names no `store`/],
  ])('with %s is misuse', async (_, text, message) => {
    const config = writeTo(temporaryDirectory(), 'purse.yaml', text);
    const ended = await purseHere(['limits', 'set', '--config', config]);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toMatch(message);
  });
});

describe('misuse', () => {
  test.each([
    ['no command', [], /Name a command/],
    ['an unknown command', ['spend'], /'spend'/],
    ['an unknown option', ['report', '--stor', 'x'], /'--stor'.*--store/],
    ['no store', ['report'], /--store sqlite:/],
    ['a store that is a path', ['report', '--store', './purse.db'], /write sqlite:\.\/purse\.db/],
    ['a store of no known kind', ['report', '--store', 'mongo:x'], /mongo:x/],
    ['a bad ledger name', ['report', ...STORE, '--ledger', 'a b'], /"a b"/],
    ['a bad time', ['report', ...STORE, '--since', 'yesterday'], /--since is "yesterday"/],
    ['times the wrong way', ['report', ...STORE, '--since', '1h', '--until', '2h'], /swap/],
    ['a bad label', ['balances', ...STORE, '--label', 'agent'], /--label is "agent"/],
    ['a limit that is not there', ['balances', ...STORE, '--limit', 'day'], /no limit "day"/],
    ['nothing to set', ['limits', 'set', ...STORE], /--file limits\.yaml/],
    ['a limit without a cap', ['limits', 'set', ...STORE, '--name', 'day'], /--cap/],
    ['a limit without a name', ['limits', 'set', ...STORE, '--cap', 'usd=1'], /--name/],
    ['removing what is not there', ['limits', 'remove', 'day', ...STORE], /no limit "day"/],
    ['freezing nothing', ['freeze', ...STORE], /--all/],
    ['freezing all and some', ['freeze', ...STORE, '--all', '--label', 'a=b'], /one of the two/],
  ])('such as %s ends with status 2 and one sentence', async (_, args, message) => {
    const ended = await purseHere(args);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toMatch(message);
    expect(ended.stdout).toBe('');
    expect(ended.stderr).not.toMatch(/\n\s+at /);
  });

  test('ends the process with status 2', async () => {
    const ended = await purse(['report'], { cwd: temporaryDirectory() });
    expect(ended).toMatchObject({ status: 2, stdout: '' });
    expect(ended.stderr).toMatch(/^purse: No store is named; .*\n$/);
  });

  test('is told to machines as an object', async () => {
    const ended = await purseHere(['report', '--store', './purse.db', '--json']);
    expect(ended.status).toBe(2);
    expect(JSON.parse(ended.stderr)).toMatchObject({ error: { code: 'INVALID_INPUT' } });
  });
});

test.each(['demo', 'replay', 'report', 'balances', 'limits', 'freeze', 'unfreeze', 'verify'])(
  'purse %s --help teaches by examples',
  async (command) => {
    const { status, stdout } = await purseHere([command, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain(`$ ${command === 'demo' ? '' : 'purse '}`);
  },
);
