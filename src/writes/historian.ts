import type { HistorySink } from '../history/history';
import type { Metrics } from '../base/metrics';
import type { HistoryJob } from '../lanes/jobs';
import { fromWire, type Message } from '../mqtt/message';

export interface HistorianDeps {
  readonly sink: HistorySink;
  readonly metrics: Metrics;
  /** Sets aside a message that the sink rejects because of its content (promise 13). The store keeps the message. */
  readonly setAside: (message: Message, sink: string, reason: string) => Promise<void>;
}

/**
 * Appends the messages of a history's lane to its sink. The store does not wait for it: a sink that is away delays only
 * its own lane.
 */
export class Historian {
  private migrated = false;

  constructor(private readonly deps: HistorianDeps) {}

  async handle(jobs: readonly HistoryJob[]): Promise<void> {
    const { sink, metrics, setAside } = this.deps;
    if (!this.migrated) await sink.migrate();
    this.migrated = true;
    const messages = jobs.flatMap(({ data }) => data.events.map(fromWire));
    const refusals = await sink.append(messages);
    metrics.historyAppended.inc({ sink: sink.name }, messages.length - refusals.length);
    for (const { id, reason } of refusals) {
      const message = messages.find((each) => each.id === id);
      if (message !== undefined) await setAside(message, sink.name, reason);
    }
  }
}
