import { beforeAll, describe, test } from 'vitest';

import { migrate, postgres } from '../../src/stores/postgres.ts';
import { storeConformance } from '../../src/testing/store-conformance.ts';
import { CLIENTS, emptySchema, freshSchema, makeClient } from './postgres-fixture.ts';

describe.each(CLIENTS)('Postgres by %s', (kind) => {
  const client = makeClient(kind);
  const schema = freshSchema();
  beforeAll(() => migrate(client, { schema }));
  storeConformance({
    test,
    makeStore: async ({ clock }) => {
      await emptySchema(schema);
      return postgres(client, { schema, clock });
    },
  });
});
