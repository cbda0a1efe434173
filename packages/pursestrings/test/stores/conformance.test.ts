import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { memory } from '../../src/stores/memory.ts';
import { sqlite } from '../../src/stores/sqlite.ts';
import { storeConformance } from '../../src/testing/store-conformance.ts';

describe('memory', () => {
  storeConformance({ test, makeStore: ({ clock }) => memory({ clock }) });
});

describe('SQLite', () => {
  const directory = mkdtempSync(join(tmpdir(), 'purse-conformance-'));
  let files = 0;
  afterAll(() => rmSync(directory, { recursive: true }));
  storeConformance({
    test,
    makeStore: ({ clock }) => {
      files += 1;
      return sqlite(join(directory, `${files}.db`), { clock });
    },
  });
});
