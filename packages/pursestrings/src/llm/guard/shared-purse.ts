import { createHash } from 'node:crypto';

import type { Denial } from '../../denial.ts';
import type { Amounts } from '../../ledger/amount.ts';
import type { Labels } from '../../ledger/labels.ts';
import type { Purse } from '../../purse.ts';
import { labelOf } from './guard-ledger.ts';
import type { PurseSource } from './purse-account.ts';
import type { HoldRequest } from './account.ts';

/** A cap on a purse is a limit of the purse, which everybody who spends from it sees. */
const LIMIT_PREFIX = 'guard';
const MAX_PROJECT_IN_NAME = 90;

/** The user's own purse, with its own limits and, where a guard has a cap, one for its project. */
export class SharedPurse implements PurseSource {
  /** Nothing: a purse's own limits on slots are not the guard's to use, so this holds in a process. */
  readonly lastAmounts: Amounts = {};
  readonly #purse: Purse;
  readonly #capped = new Map<string, Promise<void>>();

  constructor(purse: Purse) {
    this.#purse = purse;
  }

  async purseFor(request: HoldRequest): Promise<Purse> {
    if (request.capUsd !== null && request.capUsd !== Number.POSITIVE_INFINITY) {
      await this.#setCap(request, request.capUsd);
    }
    return this.#purse;
  }

  labelsFor({ project, feature, model }: HoldRequest): Labels {
    return { project, feature, model: labelOf(model) };
  }

  shown(denial: Denial): Denial {
    return denial;
  }

  async spent(request: HoldRequest): Promise<number> {
    if (request.capUsd !== null && request.capUsd !== Number.POSITIVE_INFINITY) {
      const query = { limit: limitName(request), labels: { project: request.project } };
      for await (const { spent } of this.#purse.balances(query)) return spent;
    }
    const since = new Date(request.span.startMs);
    const { rows } = await this.#purse.report({ by: ['project'], since });
    const row = rows.find(({ labels }) => labels['project'] === request.project);
    return row?.amounts['usd'] ?? 0;
  }

  async report(project: string, key: string): Promise<readonly (readonly [string, number])[]> {
    const { rows } = await this.#purse.report({ by: ['feature', 'project'], ...spanOf(key) });
    return rows
      .filter(({ labels, amounts }) => labels['project'] === project && 'usd' in amounts)
      .map(({ labels, amounts }) => [labels['feature'] ?? '', amounts['usd'] ?? 0] as const);
  }

  async total(project: string, key: string): Promise<number> {
    const { rows } = await this.#purse.report({ by: ['project'], ...spanOf(key) });
    return rows.find(({ labels }) => labels['project'] === project)?.amounts['usd'] ?? 0;
  }

  #setCap(request: HoldRequest, capUsd: number): Promise<void> {
    const key = `${limitName(request)} ${request.timezone} ${capUsd}`;
    let done = this.#capped.get(key);
    if (done === undefined) {
      done = this.#purse.setLimit({
        name: limitName(request),
        cap: { usd: capUsd },
        per: request.period === 'daily' ? 'day' : 'month',
        where: { project: request.project },
        timeZone: request.timezone,
      });
      this.#capped.set(key, done);
      done.catch(() => this.#capped.delete(key));
    }
    return done;
  }
}

function limitName({ project, period }: HoldRequest): string {
  const long = project.length > MAX_PROJECT_IN_NAME || !project.isWellFormed();
  const name = long ? `#${createHash('sha256').update(project).digest('hex')}` : project;
  return `${LIMIT_PREFIX}-${period === 'daily' ? 'day' : 'month'}:${name}`;
}

/** The UTC day or month of a key. */
function spanOf(key: string): { readonly since: Date; readonly until: Date } {
  const monthly = key.length === '2026-11'.length;
  const since = new Date(`${key}${monthly ? '-01' : ''}T00:00:00Z`);
  const until = new Date(since);
  if (monthly) until.setUTCMonth(until.getUTCMonth() + 1);
  else until.setUTCDate(until.getUTCDate() + 1);
  return { since, until };
}
