/**
 * An application as its users write one, with decorators that TypeScript compiles:
 * `main.mjs <store>`. It says on which port it listens, and ends on SIGTERM.
 */
import { Body, Controller, Get, Module, Post, Query } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import type { Purse } from 'pursestrings';
import {
  BudgetHealthIndicator,
  BudgetModule,
  BudgetService,
  InjectPurse,
  RequiresBudget,
} from 'pursestrings/nestjs';

@Controller()
class AgentsController {
  constructor(
    private readonly budget: BudgetService,
    @InjectPurse() private readonly purse: Purse,
  ) {}

  @Get('summary')
  summary() {
    return this.budget.getUsageSummary();
  }

  @Post('usage')
  use(@Body() { agent, task, tokens }: { agent: string; task: string; tokens: number }) {
    this.budget.recordUsage(agent, task, tokens, 0);
    return this.budget.canSpawnAgent();
  }

  @Post('spawn')
  @RequiresBudget()
  spawn() {
    return { spawned: true };
  }

  @Post('work')
  @RequiresBudget({ tokens: 100 }, (context) => ({
    agent: context.switchToHttp().getRequest<{ query: { agent: string } }>().query.agent,
  }))
  work() {
    return { worked: true };
  }

  /** Its purse is found empty only when it spends. */
  @Post('spend')
  @RequiresBudget({ tokens: 0 })
  async spend(@Query('tokens') tokens: string) {
    await (await this.purse.reserve({ tokens })).settle();
    return { spent: true };
  }
}

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly budget: BudgetHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.budget.isHealthy('budget')]);
  }
}

@Module({
  imports: [
    ConfigModule.forRoot({
      ignoreEnvFile: true,
      load: [
        async () => ({
          orchestrator: { budget: { dailyTokenLimit: 1000, perAgentTokenLimit: 600 } },
        }),
      ],
    }),
    BudgetModule.forRoot({ store: process.argv[2] ?? 'memory:', timeZone: 'UTC' }),
    TerminusModule,
  ],
  controllers: [AgentsController, HealthController],
})
class AppModule {}

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ['error'] });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(new URL(await app.getUrl()).port);
