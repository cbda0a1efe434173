import { newId } from './new-id.ts';
import type { Asking, PlanOperation } from './asking.ts';
import { type Denial, describeLabels, shareDenial } from './denial.ts';
import { PurseError } from './errors.ts';
import type { Labels, LabelSet } from './ledger/labels.ts';
import type { Answer, Expiry, ReserveOperation } from './ledger/records.ts';
import type { StepAmounts, Units } from './ledger/unit.ts';
import type { PolicyDesk } from './policy-desk.ts';
import { isUnknown } from './patience.ts';

/** What shares work with. */
export interface ShareDesk {
  readonly asking: Asking;
  readonly desk: PolicyDesk;
  readonly now: () => number;
  /** The shares that are open, to be told of holds that expired. */
  readonly open: Set<Share>;
}

/** Whose money a share is, and how long it stays set aside without a word from its owner. */
export interface ShareTerms {
  readonly amounts: StepAmounts;
  readonly labels: LabelSet;
  readonly ancestors: readonly Labels[];
  readonly ttlMs: number;
}

/** Steps by unit, of the units that a share is of. */
type Steps = ReadonlyMap<string, number>;

/** What an operation on a share came to. */
export type Drawn = Answer | { readonly kind: 'over_share'; readonly denial: Denial };

/**
 * Money set aside for work that makes spends of its own, as a run of an agent does. Two things are
 * kept apart:
 *
 * - `left`: what the work may still spend. It falls when a spend is held or charged and rises by what
 *   a spend gave back. It is counted here, for a share lives and ends with its process.
 * - what is set aside: holds in the ledger, in every limit that the spends will fall in, so that nobody
 *   else can take the money. Each spend is cut out of them in one step of the store: they are
 *   released, the spend is held, and the rest is held again. Nobody gets between.
 *
 * So a spend of the work is an ordinary hold and charge, under its own labels, and when the process
 * dies the rest goes back as any abandoned hold does. What is set aside may come to be less than what
 * is left (a policy that changed, a day that ended): then a spend has to find room like any other. It is
 * never more.
 */
export class Share {
  readonly #desk: ShareDesk;
  readonly #terms: ShareTerms;
  readonly #parent: Share | undefined;
  /** The id that its money was first held under, by which its parent knows it. */
  readonly #id: string;
  readonly #left: Map<string, number>;
  /** The holds that set money aside, and how much they do in sum. */
  #holdIds: readonly string[];
  #aside: Steps;
  /** What holds of spends have of it, by their ids. */
  readonly #drawn = new Map<string, Steps>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(desk: ShareDesk, terms: ShareTerms, id: string, parent: Share | undefined) {
    this.#desk = desk;
    this.#terms = terms;
    this.#parent = parent;
    this.#id = id;
    this.#left = stepsOf(terms.amounts);
    this.#holdIds = [id];
    this.#aside = stepsOf(terms.amounts);
    desk.open.add(this);
  }

  /** Sets money aside: out of another share, or out of what the limits leave. */
  static async open(
    desk: ShareDesk,
    terms: ShareTerms,
    parent: Share | undefined,
    plan: (id: string) => ReserveOperation,
  ): Promise<Share | Exclude<Drawn, { readonly kind: 'held' }>> {
    const id = newId();
    const drawn =
      parent === undefined
        ? await desk.asking.ask(() => plan(id))
        : await parent.draw(id, terms.amounts, () => plan(id));
    if (drawn.kind !== 'held') return drawn;
    return new Share(desk, terms, id, parent);
  }

  /** True for work that may spend from this share's purse. */
  isOf(desk: ShareDesk): boolean {
    return this.#desk === desk;
  }

  /** True when some of these amounts are of a unit that the share is of. */
  concerns(amounts: StepAmounts): boolean {
    return amounts.some(({ unit }) => this.#left.has(unit));
  }

  /** Why a spend is more than what is left; undefined when it is not. */
  denialOf(amounts: StepAmounts): Denial | undefined {
    for (const { unit, steps } of amounts) {
      const left = this.#left.get(unit);
      if (left === undefined || steps <= left) continue;
      const size = this.#terms.amounts.find((amount) => amount.unit === unit)?.steps ?? 0;
      const { labels } = this.#terms.labels;
      return shareDenial(labels, { unit, sizeSteps: size, leftSteps: left, steps }, this.#units);
    }
    return undefined;
  }

  /** Holds a spend that is cut out of the share. A denial changes nothing. */
  draw(id: string, amounts: StepAmounts, plan: () => ReserveOperation): Promise<Drawn> {
    return this.#inTurn(async () => {
      if (this.#closed) throw shareEnded(this.#terms.labels.labels);
      const known = this.#drawn.has(id);
      const denial = known ? undefined : this.denialOf(amounts);
      if (denial !== undefined) return { kind: 'over_share', denial };
      const cut = known ? NOTHING : stepsOf(amounts.filter(({ unit }) => this.#left.has(unit)));
      this.#take(cut);
      try {
        const [answer] = await this.#exchange([plan], minus(this.#aside, cut));
        if (answer?.kind === 'held') {
          if (!known) this.#drawn.set(id, cut);
          return answer;
        }
        this.#giveBack(cut);
        await this.#settleBalance();
        return answer as Answer;
      } catch (error) {
        // What may have happened counts as spent until it is known.
        if (!isUnknown(error)) this.#giveBack(cut);
        throw error;
      }
    });
  }

  /** Records a charge, which is never refused: what is left may fall below nothing by it. */
  charge(amounts: StepAmounts, plan: PlanOperation): Promise<Answer> {
    return this.#inTurn(async () => {
      const cut = stepsOf(amounts.filter(({ unit }) => this.#left.has(unit)));
      this.#take(cut);
      try {
        const [answer] = await this.#exchange([plan], minus(this.#aside, cut));
        if (answer?.kind === 'charged' && !answer.replayed) return answer;
        this.#giveBack(cut);
        await this.#settleBalance();
        return answer as Answer;
      } catch (error) {
        if (!isUnknown(error)) this.#giveBack(cut);
        throw error;
      }
    });
  }

  /**
   * Resolves a hold that was cut out of the share, and sets aside what it did not spend: one step, so
   * that nobody else takes that in between.
   *
   * @param actual What it spent.
   */
  resolve(id: string, actual: StepAmounts, plan: PlanOperation): Promise<Answer> {
    return this.#inTurn(async () => {
      const cut = this.#drawn.get(id);
      if (cut === undefined || this.#closed) return this.#desk.asking.ask(plan);
      const back = minus(cut, stepsOf(actual));
      const [answer] = await this.#exchange([plan], plus(this.#aside, back));
      if (answer?.kind !== 'conflict') this.#noteSpent(id, cut, actual);
      await this.#settleBalance();
      return answer as Answer;
    });
  }

  /** A hold that was cut out of the share has another id now. */
  renamed(id: string, newId: string): void {
    const cut = this.#drawn.get(id);
    if (cut === undefined) return;
    this.#drawn.delete(id);
    this.#drawn.set(newId, cut);
  }

  /** Takes notice of a hold that expired, if it was one of these. */
  expired({ hold, charge }: Expiry): void {
    if (!this.#drawn.has(hold.id)) return;
    const noted = this.#inTurn(async () => {
      const cut = this.#drawn.get(hold.id);
      if (cut !== undefined) this.#noteSpent(hold.id, cut, charge?.amounts ?? NONE);
      await this.#settleBalance();
    });
    // A failure here leaves less set aside, and is tried again with the next spend.
    void noted.catch(() => undefined);
  }

  /** Keeps the money set aside for another while. */
  keepAside(ttlMs: number): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#closed) return;
      for (const id of this.#holdIds) {
        const answer = await this.#desk.asking.ask(() => ({ kind: 'extend', id, ttlMs }));
        if (answer.kind === 'extended') continue;
        // Its time had passed and the money went back: what is left is set aside anew.
        this.#holdIds = NONE;
        this.#aside = NOTHING;
        break;
      }
      await this.#settleBalance();
    });
  }

  /** Ends the share: what is left goes back to the share it came from, or to everybody. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#closed) return;
      this.#closed = true;
      this.#desk.open.delete(this);
      if (this.#parent === undefined || this.#parent.#closed) await this.#exchange([], NOTHING);
      else await this.#parent.#takeBack(this);
      this.#holdIds = NONE;
      this.#aside = NOTHING;
    });
  }

  get #units(): Units {
    return this.#desk.desk.rulebook.units;
  }

  /** Takes in what a share that was carved out of this one leaves over. */
  #takeBack(child: Share): Promise<void> {
    return this.#inTurn(async () => {
      const carved = this.#drawn.get(child.#id) ?? NOTHING;
      this.#drawn.delete(child.#id);
      // Below nothing where charges took more than the share: that is the parent's to bear.
      for (const unit of carved.keys()) {
        this.#left.set(unit, (this.#left.get(unit) ?? 0) + (child.#left.get(unit) ?? 0));
      }
      this.#holdIds = [...this.#holdIds, ...child.#holdIds];
      this.#aside = plus(this.#aside, child.#aside);
      await this.#exchange([], atMost(this.#aside, this.#left));
    });
  }

  /** One exchange at a time: two at once would both release what is set aside. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Releases what is set aside, does something with the room, and sets the rest aside: one step. */
  async #exchange(plans: readonly PlanOperation[], rest: Steps): Promise<readonly Answer[]> {
    const id = newId();
    const releases = this.#holdIds.map((held) => () => ({ kind: 'release', id: held }) as const);
    const setAside = isNothing(rest) ? [] : [() => this.#asideOperation(id, rest)];
    if (releases.length + plans.length + setAside.length === 0) return NONE;
    try {
      const all = [...releases, ...plans, ...setAside];
      const answers = await this.#desk.asking.askTogether(all);
      const held = setAside.length > 0 && answers.at(-1)?.kind === 'held';
      this.#holdIds = held ? [id] : NONE;
      this.#aside = held ? rest : NOTHING;
      return answers.slice(releases.length, releases.length + plans.length);
    } catch (error) {
      if (isUnknown(error)) this.#holdIds = [...this.#holdIds, id];
      throw error;
    }
  }

  /** Sets aside what came back, or lets go of what is set aside beyond what is left. */
  async #settleBalance(): Promise<void> {
    if (this.#closed) return;
    if (!isNothing(minus(this.#aside, this.#left))) {
      await this.#exchange([], atMost(this.#aside, this.#left));
    }
    const more = minus(this.#left, this.#aside);
    if (isNothing(more)) return;
    const id = newId();
    const answer = await this.#desk.asking.ask(() => this.#asideOperation(id, more));
    if (answer.kind !== 'held') return;
    this.#holdIds = [...this.#holdIds, id];
    this.#aside = plus(this.#aside, more);
  }

  #asideOperation(id: string, steps: Steps): ReserveOperation {
    const { labels, ancestors, ttlMs } = this.#terms;
    const { asking, desk, now } = this.#desk;
    const amounts = this.#terms.amounts
      .map(({ unit }) => ({ unit, steps: steps.get(unit) ?? 0 }))
      .filter((amount) => amount.steps > 0);
    const plan = desk.plan(amounts, labels.labels, now(), ancestors);
    return {
      kind: 'reserve',
      id,
      fresh: false,
      amounts,
      labels,
      description: undefined,
      ifAbandoned: 'release',
      ttlMs,
      occupied: NONE,
      said: SHARE_SAID,
      lines: plan.lines,
      revision: asking.revision,
      refusal: plan.freeze === undefined ? null : 'frozen',
      tentative: true,
    };
  }

  /** A hold that was cut out of the share is resolved: what is left changes by what it spent. */
  #noteSpent(id: string, cut: Steps, actual: StepAmounts): void {
    this.#drawn.delete(id);
    this.#giveBack(minus(cut, stepsOf(actual)));
    this.#take(minus(stepsOf(actual.filter(({ unit }) => this.#left.has(unit))), cut));
  }

  #take(steps: Steps): void {
    for (const [unit, count] of steps) this.#left.set(unit, (this.#left.get(unit) ?? 0) - count);
  }

  #giveBack(steps: Steps): void {
    for (const [unit, count] of steps) {
      if (this.#left.has(unit)) this.#left.set(unit, (this.#left.get(unit) ?? 0) + count);
    }
  }
}

/** Marks the holds of shares among others; the options of a reserve are never written like it. */
export const SHARE_SAID = 'share:';

const NONE: readonly never[] = [];
const NOTHING: Steps = new Map();

function stepsOf(amounts: StepAmounts): Map<string, number> {
  return new Map(amounts.map(({ unit, steps }) => [unit, steps]));
}

/** The units of `some`, less what `others` have of them: never below nothing. */
function minus(some: Steps, others: Steps): Steps {
  return mapSteps(some, (steps, unit) => Math.max(0, steps - (others.get(unit) ?? 0)));
}

function plus(some: Steps, others: Steps): Steps {
  const units = new Set([...some.keys(), ...others.keys()]);
  return new Map([...units].map((unit) => [unit, (some.get(unit) ?? 0) + (others.get(unit) ?? 0)]));
}

function atMost(some: Steps, most: Steps): Steps {
  return mapSteps(some, (steps, unit) => Math.min(steps, Math.max(0, most.get(unit) ?? 0)));
}

function mapSteps(some: Steps, change: (steps: number, unit: string) => number): Steps {
  return new Map([...some].map(([unit, steps]) => [unit, change(steps, unit)]));
}

function isNothing(some: Steps): boolean {
  return some.values().every((steps) => steps === 0);
}

function shareEnded(labels: Labels): PurseError {
  return new PurseError(
    'SHARE_ENDED',
    `The share of ${describeLabels(labels)} has ended with its work; spend outside of it, or inside another run`,
  );
}
