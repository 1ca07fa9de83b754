import { cpuMicros } from '../cpu';
import { PATIENCE_MS, setting, TROUBLES, type Context } from './context';
import { compare, type Figures } from './figures';
import { ownCpu, PlainServer } from './plain';
import type { RemoteDouble } from './remote';
import { fill, withServer } from './target';

const COUNT = setting('COUNT', 4_000);
const WARM_UP = Math.ceil(COUNT / 4);
/** The policy's default. */
const WINDOW = 100;

const repeated = (topic: string, count: number): string[] => Array.from({ length: count }, () => topic);

async function receive(double: RemoteDouble, name: string, count: number, cpu: () => number): Promise<Figures> {
  const before = cpu();
  await double.call('subscribe', [{ clientid: `client-${name}`, topic: `one/${name}` }]);
  const { messages, copies, seconds } = await double.call('outcome', count, PATIENCE_MS);
  return { rate: messages / seconds, cpu: (cpu() - before) / messages, missing: count - messages, again: copies - messages };
}

/** A loop that keeps up to 100 messages with the client: the next bulk when half of them are acknowledged. It stores nothing. */
function loop(counts: Readonly<Record<string, number>>): (server: PlainServer, event: { event: string; topic: string }) => void {
  let [left, out] = [0, 0];
  return (server, { event, topic }) => {
    if (event === 'session.subscribed') [left, out] = [counts[topic] ?? 0, 0];
    if (event === 'message.acked') out--;
    if (left === 0 || out > WINDOW / 2) return;
    const next = Math.min(left, WINDOW - out);
    [left, out] = [left - next, out + next];
    void server.publish(repeated(topic, next));
  };
}

/** One client, many stored messages: from its SUBSCRIBE to the last acknowledgement. */
export async function one({ kind, double, rounds, table }: Context): Promise<void> {
  const figures = await compare(rounds, {
    plain: () =>
      PlainServer.with(double, loop({ 'one/warm-up': WARM_UP, 'one/measured': COUNT }), async () => {
        await receive(double, 'warm-up', WARM_UP, ownCpu);
        return receive(double, 'measured', COUNT, ownCpu);
      }),
    server: () =>
      withServer(kind, double, {}, async (target) => {
        const cpu = () => cpuMicros(target.server.pid);
        await fill(target, [...repeated('one/warm-up', WARM_UP), ...repeated('one/measured', COUNT)]);
        await receive(double, 'warm-up', WARM_UP, cpu);
        await target.server.drained();
        return receive(double, 'measured', COUNT, cpu);
      }),
  });
  const columns = [
    { key: 'rate', title: `one: ${COUNT} stored messages to one client, messages per second`, goal: '>= 0.5' },
    { key: 'cpu', title: 'one: CPU per message, microseconds' },
  ];
  table.add(figures, columns, TROUBLES);
}
