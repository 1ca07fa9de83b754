import type { Counter } from 'prom-client';
import type { Metrics } from '../base/metrics';

const WINDOW_MS = 60_000;

interface Sample {
  readonly at: number;
  readonly values: Readonly<Record<string, number>>;
}

/**
 * Computes rates over the last minute from the counters of /metrics. The counters are read only when rates are asked
 * for.
 */
export class Rates {
  private samples: Sample[] = [];

  constructor(
    private readonly metrics: Metrics,
    private readonly now: () => number,
  ) {}

  async perSecond(): Promise<Record<string, number>> {
    const current = await this.sample();
    // The rates begin at the oldest sample within the last minute.
    this.samples = [...this.samples.filter(({ at }) => current.at - at <= WINDOW_MS), current];
    const first = this.samples[0] ?? current;
    const seconds = Math.max(1, (current.at - first.at) / 1000);
    return Object.fromEntries(Object.entries(current.values).map(([name, value]) => [name, (value - (first.values[name] ?? 0)) / seconds]));
  }

  private async sample(): Promise<Sample> {
    const { eventsAccepted, messagesStored, messagesDelivered, messagesRemoved } = this.metrics;
    const [accepted, stored, delivered, removed] = await Promise.all(
      [eventsAccepted, messagesStored, messagesDelivered, messagesRemoved].map(total),
    );
    return { at: this.now(), values: { accepted: accepted ?? 0, stored: stored ?? 0, delivered: delivered ?? 0, removed: removed ?? 0 } };
  }
}

async function total(counter: Counter<string>): Promise<number> {
  return (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);
}
