import { labelsAround } from '../ambient-labels.ts';
import type { Amounts } from '../ledger/amount.ts';
import type { Labels } from '../ledger/labels.ts';
import { FIRST_TASK_LABEL, INPUT_UNIT, OUTPUT_UNIT } from './budget.ts';
import type { Usage } from './budget-desk.ts';

/** Usage as the ledger counts it. */
export function usageAmounts({ inputTokens, outputTokens }: Usage): Amounts {
  return {
    tokens: inputTokens + outputTokens,
    [INPUT_UNIT]: inputTokens,
    [OUTPUT_UNIT]: outputTokens,
  };
}

/** Whose usage it is. The agent's first task goes along, so that the ledger can tell it without a search. */
export function usageLabels({ agentId, taskId }: Usage, firstTask: string): Labels {
  return labelsAround({ agent: agentId, task: taskId, [FIRST_TASK_LABEL]: firstTask });
}
