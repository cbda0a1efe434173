import { contended, MAX_PLANS } from '../asking.ts';
import type { EmbeddedSpending } from '../embedded-spending.ts';
import { InvalidOptionError } from '../errors.ts';
import { newEnvelope } from '../ledger/envelope.ts';
import { shown } from '../ledger/invalid.ts';
import type { Limit } from '../ledger/limit.ts';
import type { Line } from '../ledger/plan.ts';
import {
  type Policy,
  withFreeze,
  withLimits,
  withoutFreeze,
  withoutLimit,
} from '../ledger/policy.ts';
import type { HoldRecord } from '../ledger/records.ts';
import { newId } from '../new-id.ts';
import { unitFor } from './amounts.ts';
import { carryOver } from './carry-over.ts';
import { type EnvelopeRule, limitOf } from './envelope-limit.ts';
import type { EnvelopeShelf } from './envelope-shelf.ts';
import type { EnvelopeConfig } from './types.ts';

/** How many replaced envelopes are remembered that something is still held in. */
const MAX_LEFT_BEHIND = 1000;

/** Why an envelope's spends are denied that is suspended. */
const SUSPENDED = 'suspended';

type NamedConfig = EnvelopeConfig & { readonly id: string };

type Edit = (policy: Policy) => Policy;

/** Makes envelopes, and suspends them: every change is one step of the policy. */
export class EnvelopeMaking {
  readonly #spending: EmbeddedSpending;
  readonly #shelf: EnvelopeShelf;
  readonly #timeZone: string;
  /** Envelopes that never end by themselves and that nothing leads to any more. */
  #leftBehind: Line[] = [];

  constructor(spending: EmbeddedSpending, shelf: EnvelopeShelf, timeZone: string) {
    this.#spending = spending;
    this.#shelf = shelf;
    this.#timeZone = timeZone;
  }

  /**
   * Makes an envelope. Where the category has one, it is adopted with all that was spent and is
   * committed in its period, or replaced by one that begins with nothing.
   *
   * @returns the commits that have another form since.
   * @throws InvalidOptionError for an id that the envelope of another category has.
   */
  make(config: EnvelopeConfig, adopt: boolean, ownId: string = newId()): readonly HoldRecord[] {
    const named = { ...config, id: config.id ?? ownId };
    for (let attempt = 0; attempt < MAX_PLANS; attempt += 1) {
      if (config.id !== undefined) this.#checkFree(config.id, config.category);
      const standing = this.#shelf.find(config.category);
      const { revision } = this.#spending.rulebook.policy;
      if (standing === null) {
        if (this.#changeAt(revision, this.#addition(named))) return [];
      } else if (adopt) {
        const carried = this.#adopt(revision, standing, config);
        if (carried !== null) return carried;
      } else if (this.#replace(revision, standing, named)) return [];
    }
    throw contended();
  }

  suspend({ labels }: EnvelopeRule): void {
    this.#spending.freeze(labels.labels, SUSPENDED);
  }

  resume({ labels }: EnvelopeRule): void {
    this.#spending.unfreeze(labels.labels);
  }

  /** A storage keeps one envelope under an id: a second one would take the place of the first. */
  #checkFree(id: string, category: string): void {
    const other = this.#shelf.all().find((each) => each.id === id && each.category !== category);
    if (other === undefined) return;
    throw new InvalidOptionError(
      `id ${shown(id)} is the envelope of category ${shown(other.category)}; ` +
        `give the one of ${shown(category)} an id of its own`,
    );
  }

  #addition({ id, category, limit, period }: NamedConfig): Edit {
    const draft = { id, category, limit, period, sinceMs: this.#spending.now() };
    const added = limitOf(draft, this.#timeZone);
    return (policy) => withLimits(policy, [added], this.#timeZone);
  }

  #replace(revision: number, standing: EnvelopeRule, config: NamedConfig): boolean {
    const line = this.#shelf.look(standing.category, 0)?.own.line;
    const add = this.#addition(config);
    if (!this.#changeAt(revision, (policy) => add(without(policy, standing)))) return false;
    if (line !== undefined && standing.period === 'total') this.#leaveBehind(line);
    return true;
  }

  #adopt(
    revision: number,
    standing: EnvelopeRule,
    config: EnvelopeConfig,
  ): readonly HoldRecord[] | null {
    const { id = standing.id, category, limit, period } = config;
    const isAlike =
      id === standing.id && period === standing.period && unitFor(limit) === standing.unit;
    if (isAlike) {
      const adopted = { ...standing.rule.limit, cap: { [standing.unit]: limit } };
      const edit: Edit = (policy) => withLimits(policy, [adopted], this.#timeZone);
      return this.#changeAt(revision, edit) ? [] : null;
    }
    const { periodStart, suspended } = this.#shelf.describe(this.#shelf.requireSeen(category));
    const draft = { id, category, limit, period, sinceMs: periodStart.getTime() };
    const next = limitOf(draft, this.#timeZone);
    const { holds, finish, undo } = carryOver(this.#spending, standing, next);
    const changed = this.#changeAt(revision, (policy) => {
      const carried = withLimits(without(policy, standing), [next], this.#timeZone);
      return suspended ? withFreeze(carried, whereOf(next), SUSPENDED) : carried;
    });
    if (changed) finish();
    else undo();
    return changed ? holds : null;
  }

  /** Changes the policy if it is still the one that was looked at. */
  #changeAt(revision: number, edit: Edit): boolean {
    let isCurrent = true;
    this.#spending.changePolicy((policy) => {
      isCurrent = policy.revision === revision;
      return isCurrent ? edit(policy) : policy;
    });
    return isCurrent;
  }

  /**
   * Forgets an envelope that was replaced, or else a process that replaces one for every task would
   * grow by it. One that still holds something is forgotten when it no longer does.
   */
  #leaveBehind(line: Line): void {
    this.#leftBehind = [...this.#leftBehind.slice(1 - MAX_LEFT_BEHIND), line];
    this.#spending.write(
      this.#leftBehind.map((left) => {
        return { kind: 'envelope', envelope: { ...newEnvelope(left), closed: true } };
      }),
    );
    this.#leftBehind = this.#leftBehind.filter((left) => this.#spending.isHeldIn(left));
  }
}

function without(policy: Policy, { limitName, labels }: EnvelopeRule): Policy {
  return withoutFreeze(withoutLimit(policy, limitName), labels.labels);
}

function whereOf({ where = {} }: Limit): Record<string, string> {
  return where as Record<string, string>;
}
