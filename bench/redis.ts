/**
 * How much of what a Redis server can do by hand is left with a purse around it?
 *
 * One lifecycle is a hold on three envelopes (one hot, one of 1,000, one of 100,000) and its
 * settle, with hold record, journal row and running totals. The raw side sends the same reads and
 * writes, packed in the same way, in batches of the same size, and checks only that the money is there.
 *
 * PURSE_BENCH_REDIS_URL names the server; else one is started. `node bench/redis.ts rows 10000000`
 * compares an empty ledger with one of so many journal rows, and `processes` one process with eight.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Limit, openPurse } from 'pursestrings';
import { redis } from 'pursestrings/stores/redis';
import { createClient } from 'redis';
import { uuidv7 } from 'uuidv7';
import { compare, type Contender, median, printRatio, throughput } from './harness.ts';

type Client = ReturnType<typeof createClient>;

const limits: readonly Limit[] = [
  { name: 'all', cap: { usd: 9_000_000 } },
  { name: 'project', cap: { usd: 9_000_000 }, per: 'day', each: ['project'] },
  { name: 'agent', cap: { usd: 9_000_000 }, per: 'day', each: ['agent'] },
];

const labelsOf = (turn: number): { readonly project: string; readonly agent: string } => ({
  project: `p${turn % 1000}`,
  agent: `a${(turn * 7919) % 100_000}`,
});

function purseSide(url: string, prefix?: string): Contender {
  return {
    name: 'purse',
    open: async () => {
      const client = await connected(url);
      if (prefix === undefined) await client.flushAll('SYNC');
      const store = redis(client as never, { prefix: prefix ?? 'purse' });
      const purse = await openPurse({ store, limits });
      return {
        lifecycle: async (turn) => {
          const hold = await purse.reserve({ usd: 0.01 }, labelsOf(turn));
          await hold.settle({ usd: 0.007 });
        },
        close: async () => {
          await purse.close();
          client.destroy();
        },
      };
    },
  };
}

/**
 * The same reads and writes by hand. KEYS 1 ids, 2 envelopes, 3 due, 4 journal, 5 quarter-hour, 6 day,
 * 7 gone, 8 meta, 9 grounds, 10 keys, 11 numbers, 12 bounds.
 */
const RAW = String.raw`
local ids, envelopes, wanted, ops = {}, {}, {}, {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = redis.call('HMGET', KEYS[8], 'next', 'revision', 'forgetAt')
local count = tonumber(meta[1] or '0')
for index, text in ipairs(ARGV) do
  ops[index] = cjson.decode(text)
  ids[index] = ops[index][2]
end
redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 129)
local holds = redis.call('HMGET', KEYS[1], unpack(ids))
for index, op in ipairs(ops) do
  local record = holds[index] and string.sub(holds[index], string.find(holds[index], '\n', 1, true) + 1)
  op.hold = record and cjson.decode(record) or op
  for place = 1, 3 do
    local key = op.hold[3][place]
    if envelopes[key] == nil then
      envelopes[key] = false
      wanted[#wanted + 1] = key
    end
  end
end
local texts = redis.call('HMGET', KEYS[2], unpack(wanted))
redis.call('HMGET', KEYS[9], ops[1].hold[6], ops[1].hold[7], ops[1].hold[8])
local names, numbers = {}, {}
for index, key in ipairs(wanted) do
  if not texts[index] then
    names[#names + 1], names[#names + 2] = 0, key
    numbers[#numbers + 1], numbers[#numbers + 2] = #ARGV .. key, '["agent","usd",["agent"],"2026-01-01",1,2]' .. key
  end
  local spent, held = string.match(texts[index] or '1 0 0', '^%d+ (%d+) (%d+)')
  envelopes[key] = { spent = tonumber(spent), held = tonumber(held) }
end
local writes, due, done, gone, rows, answers = {}, {}, {}, {}, {}, {}
local totals = {}
for index, op in ipairs(ops) do
  local id, keys, amount = op[2], op.hold[3], op.hold[4]
  if op[1] == 'r' then
    for place = 1, 3 do
      local e = envelopes[keys[place]]
      if amount > 900000000000000 - e.spent - e.held then return redis.error_reply('denied') end
    end
    for place = 1, 3 do envelopes[keys[place]].held = envelopes[keys[place]].held + amount end
    due[#due + 1], due[#due + 2] = now + 600000, id
    writes[#writes + 1], writes[#writes + 2] = id, 'open\n' .. ARGV[index]
    answers[index] = '["held",' .. string.format('%.0f', now + 600000) .. ']'
  else
    local row = string.format('["%s",%.0f,%s,["usd",%.0f],null,["usd",%.0f],0,[],null,[1,2,3]]', id, now,
      cjson.encode(op.hold[5]), op[3], amount)
    for place = 1, 3 do
      local e = envelopes[keys[place]]
      e.held, e.spent = e.held - amount, e.spent + op[3]
    end
    done[#done + 1] = id
    gone[#gone + 1] = now .. ' ' .. id
    rows[#rows + 1] = row
    count = count + 1
    totals[op.hold[5]] = (totals[op.hold[5]] or 0) + op[3]
    writes[#writes + 1], writes[#writes + 2] = id, 'settled' .. string.sub(holds[index], 5)
    answers[index] = row
  end
end
local out = {}
for key, e in pairs(envelopes) do
  out[#out + 1] = key
  out[#out + 1] = string.format('1 %.0f %.0f 0 0 ,', e.spent, e.held)
end
redis.call('HSET', KEYS[2], unpack(out))
redis.call('HSET', KEYS[1], unpack(writes))
if #names > 0 then
  redis.call('ZADD', KEYS[10], unpack(names))
  redis.call('HSET', KEYS[11], unpack(numbers))
end
if #due > 0 then redis.call('ZADD', KEYS[3], unpack(due)) end
if #done > 0 then
  redis.call('ZREM', KEYS[3], unpack(done))
  redis.call('RPUSH', KEYS[7], unpack(gone))
  redis.call('RPUSH', KEYS[4] .. math.floor(count / 256), unpack(rows))
  redis.call('HGET', KEYS[12], math.floor(count / 256))
  redis.call('HSET', KEYS[12], math.floor(count / 256), now)
  names = {}
  for labels in pairs(totals) do names[#names + 1] = labels end
  for slot = 5, 6 do
    local standing = redis.call('HMGET', KEYS[slot], unpack(names))
    local sums = {}
    for index, labels in ipairs(names) do
      local charges, steps = string.match(standing[index] or '0 0 usd:0', '^(%d+) 0 usd:(%d+)')
      sums[#sums + 1] = labels
      sums[#sums + 1] = string.format('%.0f 0 usd:%.0f', charges + 1, steps + totals[labels])
    end
    if redis.call('HLEN', KEYS[slot]) > 1000 then sums = { '(other)', '1 0 usd:1' } end
    redis.call('HSET', KEYS[slot], unpack(sums))
  end
end
redis.call('HSET', KEYS[8], 'next', count, 'revision', 1, 'forgetAt', 0)
return '[' .. table.concat(answers, ',') .. ']'
`;

interface Waiting {
  readonly text: string;
  readonly done: (answer: unknown) => void;
}

/** Sends the operations of one turn of the event loop in batches of at most 32. */
class RawLedger {
  readonly #client: Client;
  readonly #hash: string;
  #waiting: Waiting[] = [];

  constructor(client: Client, hash: string) {
    this.#client = client;
    this.#hash = hash;
  }

  async lifecycle(turn: number): Promise<void> {
    const id = uuidv7();
    const { project, agent } = labelsOf(turn);
    const labels = `{"agent":"${agent}","project":"${project}"}`;
    const keys = ['all|total|||usd|total', `project|day|||usd|2026-01-01|${project}`];
    const said = ['r', id, [...keys, `agent|day|||usd|2026-01-01|${agent}`], 1_000_000, labels];
    // What a hold of three lines has to remember: the names of what they are judged by.
    await this.#run(
      JSON.stringify([...said, 'h7-Jq0uNUvXcWz2p', 'Zk3yQ0uNUvXcWz2p', 'w1-Jq0uNUvXcWz2p']),
    );
    await this.#run(JSON.stringify(['s', id, 700_000, labels]));
  }

  #run(text: string): Promise<unknown> {
    return new Promise((done) => {
      this.#waiting.push({ text, done });
      if (this.#waiting.length === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < waiting.length; from += 32) {
      void this.#send(waiting.slice(from, from + 32));
    }
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const keys = RAW_KEYS.map((name) => `raw:{x}:${name}`);
    const texts = batch.map(({ text }) => text);
    const answer = await this.#client.evalSha(this.#hash, { keys, arguments: texts });
    const answers = JSON.parse(answer as string) as unknown[];
    for (const [index, { done }] of batch.entries()) done(answers[index]);
  }
}

const RAW_KEYS =
  'ids envelopes due journal quarter day gone meta grounds keys numbers bounds'.split(' ');

function rawSide(url: string): Contender {
  return {
    name: 'one script',
    open: async () => {
      const client = await connected(url);
      await client.flushAll('SYNC');
      const ledger = new RawLedger(client, await client.scriptLoad(RAW));
      return {
        lifecycle: (turn) => ledger.lifecycle(turn),
        close: async () => client.destroy(),
      };
    },
  };
}

async function connected(url: string): Promise<Client> {
  const client = createClient({ url });
  await client.connect();
  return client as Client;
}

async function serverUrl(): Promise<{ readonly url: string; readonly stop: () => void }> {
  const named = process.env['PURSE_BENCH_REDIS_URL'];
  if (named !== undefined) return { url: named, stop: () => undefined };
  const directory = mkdtempSync(join(tmpdir(), 'purse-bench-'));
  const settings = ['--port', '7379', '--dir', directory, '--save', '', '--appendonly', 'no'];
  const server = spawn('redis-server', settings, { stdio: 'ignore' });
  await sleep(500);
  const stop = (): void => {
    server.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  return { url: 'redis://127.0.0.1:7379', stop };
}

async function compareWithRaw(url: string): Promise<void> {
  const settings = { rounds: 5, durationMs: 2000 };
  for (const inFlight of [50, 256]) {
    const comparison = await compare(purseSide(url), rawSide(url), { ...settings, inFlight });
    printRatio(`Redis, hold + settle, 3 limits, ${inFlight} in flight`, comparison, 0.6);
  }
}

/** The median time of a lifecycle, with so many in flight, in milliseconds. */
async function medianMs(url: string, prefix: string, inFlight: number): Promise<number> {
  const { lifecycle, close } = await purseSide(url, prefix).open();
  const times: number[] = [];
  const timed = async (turn: number): Promise<void> => {
    const start = performance.now();
    await lifecycle(turn);
    times.push(performance.now() - start);
  };
  await throughput(timed, inFlight, 1000);
  times.length = 0;
  await throughput(timed, inFlight, 4000);
  await close();
  return median(times);
}

/** Fills a journal in bulk: rows as a batch writes them, and their ids. */
const FILL = String.raw`
local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
local rows, ids = {}, {}
for seq = from, to do
  local id = string.format('filled-%012d-0000-0000-00000000', seq)
  rows[#rows + 1] = string.format(
    '["%s",%s,"{\\"agent\\":\\"a%d\\",\\"project\\":\\"p%d\\"}",["usd",700000],null,["usd",1000000],0,[],null,[1,2,3]]',
    id, ARGV[3], seq % 100000, seq % 1000)
  ids[#ids + 1] = id
  ids[#ids + 1] = 'c' .. string.format('%.0f', seq)
end
redis.call('RPUSH', ARGV[4] .. 'journal:' .. string.format('%.0f', from / 256), unpack(rows))
redis.call('HSET', ARGV[4] .. 'ids', unpack(ids))
redis.call('HSET', ARGV[4] .. 'bounds', string.format('%.0f', from / 256), ARGV[3] .. ' ' .. ARGV[3])
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', to + 1), 'schema', '1')
`;

async function compareRows(url: string, rows: number): Promise<void> {
  const client = await connected(url);
  await client.flushAll('SYNC');
  const hash = await client.scriptLoad(FILL);
  const atMs = String(Date.now());
  for (let from = 0; from < rows;) {
    const sent: Promise<unknown>[] = [];
    for (; from < rows && sent.length < 200; from += 256) {
      const range = [String(from), String(from + 255), atMs, 'full:{default}:'];
      sent.push(client.evalSha(hash, { keys: ['full:{default}:meta'], arguments: range }));
    }
    await Promise.all(sent);
  }
  const results: { empty: number; full: number }[] = [];
  for (let round = 0; round < 3; round += 1) {
    const empty = await medianMs(url, `empty-${round}`, 50);
    results.push({ empty, full: await medianMs(url, 'full', 50) });
  }
  const ratio = median(results.map(({ empty, full }) => full / empty));
  const verdict = ratio <= 1.2 ? 'reached' : 'MISSED';
  console.log(
    `Redis, median at ${rows.toLocaleString('en-US')} journal rows over empty: ratio ${ratio.toFixed(2)} ` +
      `(at most 1.2: ${verdict})`,
  );
  client.destroy();
}

/** So many lifecycles make a process warm. */
const WARM_UP = 20_000;

/** Spends from one hot envelope for a while, and says how many lifecycles finished in a second. */
async function spendHot(url: string): Promise<void> {
  const client = await connected(url);
  const store = redis(client as never, { prefix: 'hot' });
  const purse = await openPurse({ store, limits: limits.slice(0, 1) });
  const spend = async (): Promise<unknown> =>
    (await purse.reserve({ usd: 0.01 })).settle({ usd: 0.007 });
  // A process is slow until its code is compiled, and eight of them share what one has alone.
  for (let count = 0; count < WARM_UP; count += 64)
    await Promise.all(Array.from({ length: 64 }, spend));
  process.stdout.write('ready\n');
  await once(process.stdin, 'data');
  const perSecond = await throughput(spend, 64, 4000);
  process.stdout.write(`${perSecond}\n`);
  await purse.close();
  client.destroy();
  process.stdin.destroy();
}

async function hotThroughput(url: string, processes: number): Promise<number> {
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url)];
  const children: ChildProcess[] = Array.from({ length: processes }, () =>
    spawn(process.execPath, [...args, 'hot', url], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  for (const { stdout } of children) if (stdout !== null) await once(stdout, 'data');
  const figures = children.map(async ({ stdin, stdout }) => {
    stdin?.write('go\n');
    const [said] = stdout === null ? [''] : ((await once(stdout, 'data')) as [Buffer]);
    return Number(said);
  });
  return (await Promise.all(figures)).reduce((sum, figure) => sum + figure, 0);
}

async function compareProcesses(url: string): Promise<void> {
  const results: { ours: number; raw: number }[] = [];
  for (let round = 0; round < 3; round += 1) {
    results.push({ raw: await hotThroughput(url, 1), ours: await hotThroughput(url, 8) });
  }
  printRatio(
    'Redis, one hot envelope, 8 processes over 1',
    {
      ours: median(results.map(({ ours }) => ours)),
      raw: median(results.map(({ raw }) => raw)),
      ratio: median(results.map(({ ours, raw }) => ours / raw)),
    },
    1,
  );
}

const [what = '', argument = ''] = process.argv.slice(2);
if (what === 'hot') {
  await spendHot(argument);
} else {
  const { url, stop } = await serverUrl();
  try {
    if (what === '' || what === 'raw') await compareWithRaw(url);
    if (what === '' || what === 'processes') await compareProcesses(url);
    if (what === 'rows') await compareRows(url, Number(argument || 10_000_000));
  } finally {
    stop();
  }
}
