import { execFile } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

import { type Child, startChild } from '../contention/children.ts';
import { tempDirectory } from '../stores/fixture.ts';

const APP = fileURLToPath(new URL('app', import.meta.url));
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));

/** Compiles the application as its users do, and answers where it is. */
async function compile(): Promise<URL> {
  const directory = await tempDirectory();
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const compiler = join(ROOT, 'node_modules', '.bin', 'tsc');
  await promisify(execFile)(compiler, ['--project', APP, '--outDir', join(directory, 'app')]);
  return pathToFileURL(join(directory, 'app', 'main.mjs'));
}

interface Running {
  readonly child: Child;
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  end(): Promise<void>;
}

async function start(app: URL, store: string): Promise<Running> {
  const child = startChild(app, [store]);
  const port = await child.line();
  return {
    child,
    ask: async (method, path, body) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: await answer.json() };
    },
    end: async () => {
      child.process.kill('SIGTERM');
      await child.ended();
    },
  };
}

it('an application of decorators is injected, refuses with 402, and goes on counting when restarted', async () => {
  const app = await compile();
  const store = `sqlite:${join(await tempDirectory(), 'budget.db')}`;
  const before = await start(app, store);
  expect((await before.ask('GET', '/summary')).body).toMatchObject({
    dailyTokensUsed: 0,
    dailyTokenLimit: 1000,
    maxConcurrentAgents: 10,
  });
  const usage = { agent: 'a', task: 't1', tokens: 550 };
  expect((await before.ask('POST', '/usage', usage)).body).toEqual({ allowed: true });
  expect(await before.ask('POST', '/spawn')).toEqual({ status: 201, body: { spawned: true } });
  const refused = await before.ask('POST', '/work?agent=a');
  expect(refused).toMatchObject({
    status: 402,
    body: {
      statusCode: 402,
      error: 'Payment Required',
      message: 'Budget exceeded: 100 tokens asked, 50 left',
      denial: { limit: 'agents-each', unit: 'tokens', requested: 100, available: 50 },
    },
  });
  expect(JSON.stringify(refused.body)).not.toContain('agent=a');
  expect((await before.ask('POST', '/work?agent=b')).status).toBe(201);
  const spent = await before.ask('POST', '/spend?tokens=451');
  expect(spent).toMatchObject({
    status: 402,
    body: { denial: { limit: 'agents-day', available: 450 } },
  });
  expect((await before.ask('POST', '/spend?tokens=nonsense')).status).toBe(500);
  expect((await before.ask('GET', '/health')).body).toMatchObject({
    status: 'ok',
    info: { budget: { status: 'up', store: 'sqlite', budgetStatus: 'within_budget' } },
  });
  await before.end();

  const after = await start(app, store);
  expect((await after.ask('GET', '/summary')).body).toMatchObject({
    dailyTokensUsed: 550,
    agentUsage: [{ agentId: 'a', taskId: 't1', totalTokens: 550, usagePercent: 91.67 }],
  });
  await after.ask('POST', '/usage', { agent: 'b', task: 't2', tokens: 450 });
  expect(await after.ask('POST', '/spawn')).toMatchObject({
    status: 402,
    body: { denial: { limit: 'agents-day', available: 0, resetsAt: expect.any(String) as string } },
  });
  // Used up is not ill.
  expect((await after.ask('GET', '/health')).status).toBe(200);
  await after.end();
});
