import { cpuMicros } from '../cpu';
import type { Outcome, Subscriber } from './broker';
import { PATIENCE_MS, setting, TROUBLES, type Context } from './context';
import { compare, percentile, type Figures } from './figures';
import { ownCpu, PlainServer, type PlainEvent } from './plain';
import { fill, withServer } from './target';

const EACH = 5;
const CLIENTS = setting('CLIENTS', 1_000);
const MANY_CLIENTS = setting('MANY_CLIENTS', 10_000);
const BULK = 100;

const subscribers = (count: number): Subscriber[] =>
  Array.from({ length: count }, (_, i) => ({ clientid: `client-${i}`, topic: `cmd/client-${i}` }));

/** One message for each, then the next for each: as a fleet's commands come in. */
const topicsOf = (clients: readonly Subscriber[]): string[] => Array.from({ length: EACH }, () => clients.map(({ topic }) => topic)).flat();

function figuresOf({ messages, copies, seconds, first }: Outcome, expected: number): Figures {
  const counts = { missing: expected - messages, again: copies - messages };
  return { ...counts, seconds, rate: messages / seconds, median: percentile(first, 0.5), p99: percentile(first, 0.99) };
}

/** Everybody connects and subscribes at once, to a server with their messages stored. */
function stampede({ kind, double }: Context, clients: readonly Subscriber[]): Promise<Figures> {
  return withServer(kind, double, {}, async (target) => {
    await fill(target, topicsOf(clients));
    const before = cpuMicros(target.server.pid);
    await double.call('subscribe', clients);
    const outcome = await double.call('outcome', clients.length * EACH, PATIENCE_MS);
    return { ...figuresOf(outcome, clients.length * EACH), cpu: (cpuMicros(target.server.pid) - before) / outcome.messages };
  });
}

/** Many clients come back at once: how long each waits. The plain side publishes a client's messages when it hears of its SUBSCRIBE. */
export async function storm(context: Context): Promise<void> {
  const { double, rounds, table } = context;
  const clients = subscribers(CLIENTS);
  const answer = (server: PlainServer, { event, topic }: PlainEvent) => {
    if (event === 'session.subscribed') void server.publish(Array.from({ length: EACH }, () => topic));
  };
  const figures = await compare(rounds, {
    plain: () =>
      PlainServer.with(double, answer, async () => {
        const before = ownCpu();
        await double.call('subscribe', clients);
        const outcome = await double.call('outcome', CLIENTS * EACH, PATIENCE_MS);
        return { ...figuresOf(outcome, CLIENTS * EACH), cpu: (ownCpu() - before) / outcome.messages };
      }),
    server: () => stampede(context, clients),
  });
  const columns = [
    { key: 'median', title: `storm: ${CLIENTS} clients with ${EACH} messages each, SUBSCRIBE to the first message, median, ms` },
    { key: 'p99', title: 'storm: the same, 99 %, ms', goal: 'server <= 1,000 ms' },
    { key: 'seconds', title: 'storm: until all is delivered, s' },
    { key: 'cpu', title: 'storm: CPU per message, microseconds' },
  ];
  table.add(figures, columns, TROUBLES);
}

/** Far more clients. The plain side is one caller that publishes the same messages in bulks of 100, whoever asks. */
export async function many(context: Context): Promise<void> {
  const { double, rounds, table } = context;
  const clients = subscribers(MANY_CLIENTS);
  const topics = topicsOf(clients);
  const figures = await compare(rounds, {
    plain: () =>
      PlainServer.with(
        double,
        () => undefined,
        async (server) => {
          await double.call('subscribe', clients);
          const before = ownCpu();
          await double.call('begin');
          for (let i = 0; i < topics.length; i += BULK) await server.publish(topics.slice(i, i + BULK));
          const outcome = await double.call('outcome', topics.length, PATIENCE_MS);
          return { ...figuresOf(outcome, topics.length), cpu: (ownCpu() - before) / topics.length };
        },
      ),
    server: () => stampede(context, clients),
  });
  const columns = [
    { key: 'rate', title: `many: ${MANY_CLIENTS} clients with ${EACH} messages each, messages per second`, goal: '>= 0.3' },
    { key: 'cpu', title: 'many: CPU per message, microseconds' },
  ];
  const waits = [
    { key: 'p99', title: 'many: SUBSCRIBE to the first message, 99 %, ms' },
    { key: 'seconds', title: 'many: until all is delivered, s' },
  ];
  table.add(figures, columns, [...waits, ...TROUBLES]);
}
