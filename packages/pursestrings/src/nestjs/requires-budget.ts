import {
  applyDecorators,
  type ArgumentsHost,
  type CanActivate,
  Catch,
  type ExecutionContext,
  HttpException,
  Inject,
  Injectable,
  SetMetadata,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { BaseExceptionFilter, HttpAdapterHost, Reflector } from '@nestjs/core';
import { type Amounts, BudgetExceededError, type Denial, type Labels } from '../index.ts';
import { BudgetService } from './budget-service.ts';

/** Who a request spends for: labels, or what finds them in the request. */
export type LabelsOf = Labels | ((context: ExecutionContext) => Labels);

interface Requirement {
  readonly amounts: Amounts;
  readonly labels: LabelsOf;
}

const REQUIREMENT = 'pursestrings:requires-budget';

/** What is asked for where nothing else is: is there anything left at all? */
const ANYTHING: Requirement = { amounts: { tokens: 1 }, labels: {} };

/**
 * 402 Payment Required. Not 429: clients take that as an invitation to come back in a moment, by
 * themselves, and a purse that is empty stays so until its window ends or somebody fills it.
 */
const PAYMENT_REQUIRED = 402;

/**
 * Refuses a route, a message handler or all of a controller while the purse has not so much left, with
 * status 402 and the denial in the body. A spend inside that is refused is answered in the same way.
 * Nothing is held: what the handler really spends binds by itself.
 *
 * @param amounts Default: one token.
 * @param labels Who it is for: labels, or a function of the request.
 * @example
 * ```ts
 * import { Controller, Post } from '@nestjs/common';
 * import { RequiresBudget } from 'pursestrings/nestjs';
 *
 * class AgentsController {
 *   spawn(): string {
 *     return 'spawned';
 *   }
 * }
 * // Written @Controller('agents'), @Post() and @RequiresBudget() where decorators are compiled.
 * const spawn = Object.getOwnPropertyDescriptor(AgentsController.prototype, 'spawn');
 * if (spawn !== undefined) {
 *   Post()(AgentsController.prototype, 'spawn', spawn);
 *   RequiresBudget({ tokens: 1_000 })(AgentsController.prototype, 'spawn', spawn);
 * }
 * Controller('agents')(AgentsController);
 * ```
 */
export function RequiresBudget(
  amounts: Amounts = ANYTHING.amounts,
  labels: LabelsOf = ANYTHING.labels,
): ClassDecorator & MethodDecorator {
  const requirement: Requirement = { amounts, labels };
  return applyDecorators(
    SetMetadata(REQUIREMENT, requirement),
    UseGuards(BudgetGuard),
    UseFilters(BudgetExceededFilter),
  );
}

/**
 * Lets a request through when the purse has what `RequiresBudget` asks for, or else one token: so it may
 * also stand for a whole application. Refuses with status 402.
 */
export class BudgetGuard implements CanActivate {
  readonly #budget: BudgetService;
  readonly #reflector: Reflector;

  constructor(budget: BudgetService, reflector: Reflector) {
    this.#budget = budget;
    this.#reflector = reflector;
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const places = [context.getHandler(), context.getClass()];
    const { amounts, labels } =
      this.#reflector.getAllAndOverride<Requirement | undefined>(REQUIREMENT, places) ?? ANYTHING;
    const who = typeof labels === 'function' ? labels(context) : labels;
    const { denials } = await this.#budget.purse.check(amounts, who);
    const [first, ...others] = denials;
    if (first !== undefined) throw paymentRequired(new BudgetExceededError([first, ...others]));
    return true;
  }
}

/**
 * Answers 402 where a spend was refused inside a handler, by whichever SDK that came up. `RequiresBudget`
 * brings it along; `app.useGlobalFilters` takes it for all.
 */
export class BudgetExceededFilter extends BaseExceptionFilter {
  constructor(adapterHost: HttpAdapterHost) {
    super(adapterHost.httpAdapter);
  }

  override catch(error: unknown, host: ArgumentsHost): void {
    const exceeded = error instanceof HttpException ? null : BudgetExceededError.from(error);
    const answer = exceeded === null ? error : paymentRequired(exceeded);
    if (host.getType() !== 'http') throw answer;
    // A filter's own word, and no promise.
    // oxlint-disable-next-line promise/valid-params, promise/no-promise-in-callback
    super.catch(answer, host);
  }
}

function paymentRequired(exceeded: BudgetExceededError): HttpException {
  const body = {
    statusCode: PAYMENT_REQUIRED,
    error: 'Payment Required',
    ...told(exceeded.denial),
  };
  return new HttpException(body, PAYMENT_REQUIRED, { cause: exceeded });
}

/** What a client may know of a denial: not whose money it is, which the error's own message names. */
function told({ reason, limit, unit, requested, available, resetsAt }: Denial): object {
  return {
    message: `Budget exceeded: ${requested} ${unit} asked, ${available} left`,
    denial: { reason, limit, unit, requested, available, resetsAt },
  };
}

Injectable()(BudgetGuard);
Inject(BudgetService)(BudgetGuard, undefined, 0);
Inject(Reflector)(BudgetGuard, undefined, 1);
Catch()(BudgetExceededFilter);
Inject(HttpAdapterHost)(BudgetExceededFilter, undefined, 0);
