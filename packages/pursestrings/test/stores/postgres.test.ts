import { describe, test } from 'vitest';

import { migrate, postgres } from '../../src/stores/postgres.ts';
import { storeConformance } from '../../src/testing/store-conformance.ts';
import { CLIENTS, freshSchema, makeClient } from './postgres-fixture.ts';

describe.each(CLIENTS)('Postgres by %s', (kind) => {
  const client = makeClient(kind);
  storeConformance({
    test,
    makeStore: async ({ clock }) => {
      const schema = freshSchema();
      await migrate(client, { schema });
      return postgres(client, { schema, clock });
    },
  });
});
