import { type Attributes, context, metrics, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { onTestFinished } from 'vitest';

/** Reads what was reported to the metrics SDK, which is registered until the test is over. */
export interface MetricsReader {
  /** The sums of a counter, by its attributes. */
  sums(name: string): Promise<[attributes: Attributes, sum: number][]>;
  /** The distributions of a histogram, by its attributes. */
  histograms(name: string): Promise<[attributes: Attributes, value: Histogram][]>;
  /** The metric as it was exported. */
  metric(name: string): Promise<MetricData | undefined>;
}

export function readMetrics(): MetricsReader {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const provider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
  });
  metrics.setGlobalMeterProvider(provider);
  onTestFinished(async () => {
    metrics.disable();
    await provider.shutdown();
  });
  const metric = async (name: string): Promise<MetricData | undefined> => {
    exporter.reset();
    await provider.forceFlush();
    return exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .filter(({ scope }) => scope.name === 'pursestrings')
      .flatMap((scope) => scope.metrics)
      .find(({ descriptor }) => descriptor.name === name);
  };
  const points = async <T>(name: string): Promise<[Attributes, T][]> => {
    const { dataPoints = [] } = (await metric(name)) ?? {};
    return dataPoints.map(({ attributes, value }) => [attributes, value as T]);
  };
  return { metric, sums: points<number>, histograms: points<Histogram> };
}

/** Registers the tracing SDK until the test is over; answers what lists the spans that ended. */
export function readSpans(): () => readonly ReadableSpan[] {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  onTestFinished(async () => {
    trace.disable();
    context.disable();
    await provider.shutdown();
  });
  return () => exporter.getFinishedSpans();
}
