import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreError } from './errors.ts';
import type { Answer, Operation } from './ledger/records.ts';
import type { OperationQueue } from './operation-queue.ts';
import type { PolicyDesk } from './policy-desk.ts';

/** How often one operation is planned before its store counts as contended. */
export const MAX_PLANS = 1000;

/**
 * How often a charge is planned anew because the policy changes under it. After that it is posted
 * by the plan it has: what was spent is recorded (rule 3).
 */
export const MAX_PLANS_OF_CHARGES = 16;

/** Plans an operation under the policy as it is known here. */
export type PlanOperation = (revision: number | null) => Operation;

/** Asks the store, and plans and asks again as long as it says that a plan is out of date. */
export class Asking {
  readonly queue: OperationQueue;
  readonly #desk: PolicyDesk;
  /** How many operations are being planned again. */
  #underWay = 0;

  constructor(queue: OperationQueue, desk: PolicyDesk) {
    this.queue = queue;
    this.#desk = desk;
  }

  /** The revision of the policy as it is known here. */
  get revision(): number {
    return this.#desk.rulebook.policy.revision;
  }

  /** Asks the store. The answer comes as it is where the store is asked at once. */
  ask(planOperation: PlanOperation): Answer | Promise<Answer> {
    const answer = this.queue.submit(planOperation(this.revision));
    return answer instanceof Promise || wantsNewPlan(answer)
      ? this.#askOn(answer, planOperation)
      : answer;
  }

  /**
   * Asks several operations in one step: nobody else's comes between them. One whose plan turns out
   * to be out of date is then asked by itself.
   */
  async askTogether(planOperations: readonly PlanOperation[]): Promise<readonly Answer[]> {
    const operations = planOperations.map((planOperation) => planOperation(this.revision));
    const answers = await this.queue.together(operations);
    const last: Answer[] = [];
    for (const [index, answer] of answers.entries()) {
      const planOperation = planOperations[index] as PlanOperation;
      last.push(wantsNewPlan(answer) ? await this.#askOn(answer, planOperation) : answer);
    }
    return last;
  }

  /** Waits until every operation under way has its answer. */
  async finish(): Promise<void> {
    while (this.queue.pending > 0 || this.#underWay > 0) {
      await this.queue.drain();
      await nextTurn();
    }
  }

  async #askOn(first: Answer | Promise<Answer>, planOperation: PlanOperation): Promise<Answer> {
    this.#underWay += 1;
    try {
      let answer = await first;
      for (let plans = 1; wantsNewPlan(answer); plans += answer.kind === 'again' ? 0 : 1) {
        if (plans >= MAX_PLANS) throw contended();
        if (answer.kind === 'stale') await this.#desk.reload();
        const revision = plans < MAX_PLANS_OF_CHARGES ? this.revision : null;
        answer = await this.queue.submit(planOperation(revision));
      }
      return answer;
    } finally {
      this.#underWay -= 1;
    }
  }
}

/** True for an answer that asks for the operation once more, with a plan made now. */
export function wantsNewPlan({ kind }: Answer): boolean {
  return kind === 'again' || kind === 'stale' || kind === 'outside_window';
}

/** What a spend is refused with when the ledger changes faster than it can be planned. */
export function contended(): StoreError {
  return new StoreError(
    'STORE_UNAVAILABLE',
    'contended',
    `The ledger changed ${MAX_PLANS} times while one spend was planned; try again when it is quieter`,
    { retryable: true },
  );
}
