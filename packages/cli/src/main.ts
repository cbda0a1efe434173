import { run } from './program.ts';
import { processTerminal } from './terminal.ts';

const status = await run(process.argv.slice(2), processTerminal());
if (status !== 0) process.exitCode = status;
