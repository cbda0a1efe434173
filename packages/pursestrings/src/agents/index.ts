/** Agents within budget: slots, time limits, shares, and the service that orchestrators know. */
export type { AgentSlot } from './agent-slot.ts';
export { AgentTimeLimitError } from './errors.ts';
export { type AgentOptions, type AgentRun, runAgent, type Spawned, trySpawn } from './run-agent.ts';
