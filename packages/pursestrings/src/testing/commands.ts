import { BudgetExceededError, ConflictError, HoldNotFoundError } from '../errors.ts';
import type { Hold } from '../hold.ts';
import type { Purse } from '../purse.ts';
import {
  type LedgerModel,
  type ModelAmounts,
  type ModelLabels,
  type ModelLimit,
  type ModelReserve,
  type Outcome,
  textOf,
} from './ledger-model.ts';
import type { ManualClock } from './manual-clock.ts';

/** One thing that can be done to a ledger and to its model alike. */
export type Command =
  | ({ readonly do: 'reserve' } & ModelReserve)
  | { readonly do: 'settle'; readonly id: string; readonly amounts: ModelAmounts }
  | { readonly do: 'release'; readonly id: string }
  | { readonly do: 'extend'; readonly id: string; readonly ttlMs: number }
  | {
      readonly do: 'rename';
      readonly id: string;
      readonly newId: string;
      readonly ttlMs: number | undefined;
    }
  | { readonly do: 'takeUp'; readonly id: string; readonly expired: boolean }
  | {
      readonly do: 'charge';
      readonly id: string;
      readonly amounts: ModelAmounts;
      readonly labels: ModelLabels;
    }
  | { readonly do: 'advance'; readonly byMs: number }
  | { readonly do: 'setLimit'; readonly limit: ModelLimit }
  | { readonly do: 'freeze'; readonly where: ModelLabels }
  | { readonly do: 'unfreeze'; readonly where: ModelLabels };

/** A purse that commands are carried out on, with the holds that it has handed out. */
export class CommandRunner {
  readonly #purse: Purse;
  readonly #clock: ManualClock;
  readonly #holds = new Map<string, Hold>();

  constructor(purse: Purse, clock: ManualClock) {
    this.#purse = purse;
    this.#clock = clock;
  }

  /** Carries out a command and writes what came of it as the model does. */
  async run(command: Command): Promise<Outcome> {
    try {
      return await this.#outcome(command);
    } catch (error) {
      if (error instanceof ConflictError) return 'conflict';
      if (error instanceof HoldNotFoundError) return 'unknown';
      if (error instanceof BudgetExceededError) return `denied ${denied(error)}`;
      throw error;
    }
  }

  async #outcome(command: Command): Promise<Outcome> {
    switch (command.do) {
      case 'reserve': {
        const { id, amounts, labels, ttlMs, ifAbandoned } = command;
        this.#holds.set(id, await this.#purse.reserve(amounts, labels, { id, ttlMs, ifAbandoned }));
        return 'held';
      }
      case 'settle': {
        const charge = await this.#holds.get(command.id)?.settle(command.amounts);
        return charge === undefined ? 'unknown' : charged(charge);
      }
      case 'release': {
        const hold = this.#holds.get(command.id);
        await hold?.release();
        return hold === undefined ? 'unknown' : 'released';
      }
      case 'extend': {
        const hold = this.#holds.get(command.id);
        await hold?.extend(command.ttlMs);
        return hold === undefined ? 'unknown' : `extended ${hold.expiresAt.getTime()}`;
      }
      case 'rename': {
        const { id, newId, ttlMs } = command;
        const options = ttlMs === undefined ? {} : { ttlMs };
        const renamed = await this.#holds.get(id)?.rename(newId, options);
        if (renamed === undefined) return 'unknown';
        this.#holds.set(newId, renamed);
        return `renamed ${renamed.expiresAt.getTime()}`;
      }
      case 'takeUp': {
        const hold = await this.#purse.hold(command.id, { expired: command.expired });
        if (hold === null) return 'none';
        this.#holds.set(command.id, hold);
        return 'found';
      }
      case 'charge':
        return charged(
          await this.#purse.charge(command.amounts, command.labels, { id: command.id }),
        );
      case 'advance':
        this.#clock.advance(command.byMs);
        return 'done';
      case 'setLimit':
        await this.#purse.setLimit(command.limit);
        return 'done';
      case 'freeze':
        await this.#purse.freeze(command.where);
        return 'done';
      case 'unfreeze':
        await this.#purse.unfreeze(command.where);
        return 'done';
    }
  }
}

/** Carries out a command on the model. */
export function runOnModel(model: LedgerModel, command: Command): Outcome {
  switch (command.do) {
    case 'reserve':
      return model.reserve(command);
    case 'settle':
      return model.settle(command.id, command.amounts);
    case 'release':
      return model.release(command.id);
    case 'extend':
      return model.extend(command.id, command.ttlMs);
    case 'rename':
      return model.rename(command.id, command.newId, command.ttlMs);
    case 'takeUp':
      return model.takeUp(command.id, command.expired);
    case 'charge':
      return model.charge(command.id, command.amounts, command.labels);
    case 'advance':
      model.advance(command.byMs);
      return 'done';
    case 'setLimit':
      model.setLimit(command.limit);
      return 'done';
    case 'freeze':
      model.freeze(command.where);
      return 'done';
    case 'unfreeze':
      model.unfreeze(command.where);
      return 'done';
  }
}

/** The balances of a purse, written as the model writes its own; those of past windows are not among them. */
export async function balancesOf(
  purse: Purse,
): Promise<Map<string, { readonly spent: number; readonly held: number }>> {
  const balances = new Map<string, { readonly spent: number; readonly held: number }>();
  for await (const { limit, unit, labels, window, spent, held } of purse.balances()) {
    if (spent === 0 && held === 0) continue;
    const values = Object.keys(labels)
      .sort()
      .map((label) => JSON.stringify(labels[label]));
    balances.set([limit, unit, window.start.getTime(), ...values].join(' '), { spent, held });
  }
  return balances;
}

function charged({
  amounts,
  late,
}: {
  readonly amounts: ModelAmounts;
  readonly late: boolean;
}): Outcome {
  return `charged ${textOf(amounts)}${late ? ' late' : ''}`;
}

/** The envelopes that refused, as the model names them, or the reason when it was no limit. */
function denied({ denials }: BudgetExceededError): string {
  return denials
    .map(({ reason, limit, unit, labels }) => {
      const values = Object.values(labels).map((value) => JSON.stringify(value));
      return reason === 'exceeds' ? [limit, unit, ...values].join(' ') : reason;
    })
    .join(', ');
}
