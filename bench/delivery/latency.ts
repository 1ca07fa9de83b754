import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS, setting, type Context } from './context';
import { compare, percentile, type Figures } from './figures';
import { PlainServer } from './plain';
import type { RemoteDouble } from './remote';
import { fill, withServer } from './target';

const TRIES = setting('TRIES', 50);
const BACKLOG = setting('BACKLOG', 100_000);
const OTHER_TOPICS = 1_000;
/** Between two tries. */
const PAUSE_MS = 100;

const topicsOf = (name: string): string[] => Array.from({ length: TRIES }, (_, i) => `latency/${name}/${i}`);

/** One client after another subscribes to its topic. @returns ms to the first message of each. */
async function tries(double: RemoteDouble, name: string): Promise<number[]> {
  const times: number[] = [];
  for (const [i, topic] of topicsOf(name).entries()) {
    await double.call('subscribe', [{ clientid: `client-${name}-${i}`, topic }]);
    const { first } = await double.call('outcome', 1, PATIENCE_MS);
    times.push(first[0] ?? NaN);
    await sleep(PAUSE_MS);
  }
  return times;
}

const figuresOf = (times: readonly number[], name: string): Figures => ({
  [`${name}Median`]: percentile(times, 0.5),
  [`${name}P99`]: percentile(times, 0.99),
});

/** SUBSCRIBE to the first message in a quiet system, with nothing else stored and with much. The plain side publishes when it hears of the SUBSCRIBE. */
export async function latency({ kind, double, rounds, table }: Context): Promise<void> {
  const figures = await compare(rounds, {
    plain: () =>
      PlainServer.with(
        double,
        (server, { event, topic }) => void (event === 'session.subscribed' && server.publish([topic])),
        async () => {
          const times = await tries(double, 'plain');
          return { ...figuresOf(times, 'few'), ...figuresOf(times, 'much') };
        },
      ),
    server: () =>
      withServer(kind, double, {}, async (target) => {
        await fill(target, topicsOf('warm-up'));
        await tries(double, 'warm-up');
        await fill(target, topicsOf('few'));
        const few = await tries(double, 'few');
        await fill(
          target,
          Array.from({ length: BACKLOG }, (_, i) => `backlog/${i % OTHER_TOPICS}`),
        );
        await fill(target, topicsOf('much'));
        const much = await tries(double, 'much');
        return { ...figuresOf(few, 'few'), ...figuresOf(much, 'much') };
      }),
  });
  const columns = [
    { key: 'fewMedian', title: `latency: SUBSCRIBE to the first message, ${TRIES} tries, median, ms` },
    { key: 'fewP99', title: 'latency: the same, 99 %, ms' },
    { key: 'muchMedian', title: `latency: with ${BACKLOG} messages in other topics, median, ms` },
    { key: 'muchP99', title: 'latency: the same, 99 %, ms' },
  ];
  table.add(figures, columns);
  const { server } = figures;
  const pair = (key: string) => ({ median: server[`${key}Median`] ?? NaN, p99: server[`${key}P99`] ?? NaN });
  const ratios = [
    { key: 'median', title: `latency: nothing else stored (left) and ${BACKLOG} messages (right), median, ms`, goal: 'near 1' },
    { key: 'p99', title: 'latency: the same, 99 %, ms' },
  ];
  table.add({ plain: pair('few'), server: pair('much') }, ratios);
}
