/** Runs every bench, each in a process of its own. */
import { spawnSync } from 'node:child_process';

for (const name of [
  'memory',
  'sqlite',
  'flat',
  'agents',
  'envelopes',
  'metered-fetch',
  'paid-fetch',
  'estimates',
  'redis',
  'postgres',
]) {
  const file = new URL(`./${name}.ts`, import.meta.url);
  console.log(`\n# ${name}`);
  const { status } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', file.pathname],
    { stdio: 'inherit' },
  );
  if (status !== 0) process.exitCode = 1;
}
