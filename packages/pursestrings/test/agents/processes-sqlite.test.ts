import { it } from 'vitest';

import { openFile, tempFile } from '../stores/fixture.ts';
import { runAndKill } from './run-and-kill.ts';

it('four processes on one file run exactly 10 of 1,000 agents, and the slots of the dead return', async () => {
  const path = await tempFile();
  await runAndKill(path, openFile(path, { lockTimeoutMs: 60_000 }));
});
