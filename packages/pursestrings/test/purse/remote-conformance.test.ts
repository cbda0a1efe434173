import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { memory } from '../../src/stores/memory.ts';
import { storeConformance } from '../../src/testing/index.ts';
import { Line, remoteStore } from './remote-store.ts';

/** Everything that a store promises holds over a line, whatever the wall clock here says. */
describe.each([-31, 31])('over a line, with a clock here that is %i hours off', (hours) => {
  beforeAll(() => {
    const right = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => right() + hours * 3_600_000);
  });
  afterAll(() => void vi.restoreAllMocks());

  storeConformance({
    test,
    makeStore: ({ clock }) => {
      const batches = { size: 32, inFlight: 4 };
      return remoteStore(memory({ clock }), new Line(), batches);
    },
  });
});
