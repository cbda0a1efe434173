/**
 * Compiles and runs every `ts` block of the documentation, every `@example` of the library's
 * sources, and every file of examples/. A block marked `ts no-run` is compiled only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

interface Snippet {
  /** Where it stands: `docs/concepts.md:12`. */
  readonly place: string;
  readonly code: string;
  readonly run: boolean;
}

const ROOT = join(import.meta.dirname, '..');
const WORK = join(ROOT, '.docs-check');
const TIME_LIMIT_MS = 30_000;
const IN_PARALLEL = 2;

const MARKDOWN = ['*.md', 'docs/**/*.md', 'packages/*/*.md'];
const SOURCES = ['packages/pursestrings/src/**/*.ts'];
const EXAMPLES = ['examples/*.ts'];

/** The fenced blocks of a text whose language is ts. `prefix` stands before each line of a comment. */
function blocks(path: string, prefix: RegExp): Snippet[] {
  const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
  const found: Snippet[] = [];
  let open: { readonly line: number; readonly run: boolean; readonly code: string[] } | undefined;
  for (const [index, raw] of lines.entries()) {
    const line = raw.replace(prefix, '');
    if (open === undefined) {
      const fence = /^```ts( no-run)?$/.exec(line.trim());
      if (fence !== null) open = { line: index + 1, run: fence[1] === undefined, code: [] };
    } else if (line.trim() === '```') {
      found.push({ place: `${path}:${open.line}`, code: open.code.join('\n'), run: open.run });
      open = undefined;
    } else {
      open.code.push(line);
    }
  }
  return found;
}

function snippets(): Snippet[] {
  const files = (patterns: readonly string[]): string[] =>
    patterns.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).toSorted();
  return [
    ...files(MARKDOWN).flatMap((path) => blocks(path, /^/)),
    ...files(SOURCES).flatMap((path) => blocks(path, /^\s*\* ?/)),
    ...files(EXAMPLES).map((path) => ({
      place: path,
      code: readFileSync(join(ROOT, path), 'utf8'),
      run: true,
    })),
  ];
}

function compile(files: readonly string[]): string {
  const config = {
    extends: relative(WORK, join(ROOT, 'tsconfig.base.json')),
    compilerOptions: {
      noEmit: true,
      moduleDetection: 'force',
      noUnusedLocals: false,
      noUnusedParameters: false,
      isolatedDeclarations: false,
    },
    files,
  };
  writeFileSync(join(WORK, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc');
  const { stdout, status } = spawnSync(tsc, ['--project', WORK], { encoding: 'utf8' });
  return status === 0 ? '' : stdout;
}

/** Runs a file in a process and a directory of its own. Answers what was wrong, or nothing. */
async function run(file: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'purse-docs-'));
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
    cwd: directory,
    timeout: TIME_LIMIT_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OPENAI_API_KEY: 'sk-of-nobody' },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  rmSync(directory, { recursive: true });
  return status === 0 ? '' : `ended with ${status ?? 'a time-out'}: ${errors.trim()}`;
}

/** Says where a snippet stands instead of where it was written to. */
function placed(text: string, places: ReadonlyMap<string, string>): string {
  return text.replaceAll(/snippet-\d+\.ts/g, (name) => places.get(name) ?? name);
}

rmSync(WORK, { recursive: true, force: true });
mkdirSync(WORK, { recursive: true });
const all = snippets();
const names = all.map((_, index) => `snippet-${index}.ts`);
const places = new Map(names.map((name, index) => [name, (all[index] as Snippet).place]));
for (const [index, name] of names.entries()) {
  writeFileSync(join(WORK, name), `${(all[index] as Snippet).code}\nexport {};\n`);
}

const failures: string[] = [];
const wrong = compile(names);
if (wrong !== '') failures.push(placed(wrong, places));
const toRun = names.filter((_, index) => (all[index] as Snippet).run);
await Promise.all(
  Array.from({ length: IN_PARALLEL }, async () => {
    for (let name = toRun.shift(); name !== undefined; name = toRun.shift()) {
      const problem = await run(join(WORK, name));
      if (problem !== '') failures.push(`${places.get(name)} ${placed(problem, places)}`);
    }
  }),
);
for (const failure of failures) console.error(failure);
console.log(`${all.length} snippets checked, ${failures.length} failed`);
if (failures.length > 0) process.exitCode = 1;
rmSync(WORK, { recursive: true });
