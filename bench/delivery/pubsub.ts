import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMicros } from '../cpu';
import { setting, type Context } from './context';
import { compare, type Figures } from './figures';
import { ownCpu, PlainServer } from './plain';
import { PositionsProbe } from './positions';
import type { RemoteDouble } from './remote';
import { fill, withServer } from './target';

const RATES = (process.env['RATE'] ?? '1000,5000').split(',').map(Number);
const SECONDS = setting('SECONDS', 10);
const POLICIES = JSON.stringify([{ filter: '#', mode: 'pubsub' }]);
const CONSUMER = { clientid: 'consumer', topic: 'feed/1' };
/** A SUBSCRIBE after less than 2 s is the same storm. */
const AFTER_A_STORM_MS = 3_000;
/** What the server still finds comes within the 10 s in which it looks for late publishes, and a little. */
const QUIET_MS = 13_000;

/** Messages that nobody acknowledges: they must come after the next SUBSCRIBE, or the check would see nothing. */
const UNREAD = 10;

/** @returns s until the events were answered. */
async function traffic(double: RemoteDouble, rate: number): Promise<number> {
  await double.call('subscribe', [CONSUMER]);
  await sleep(500);
  return double.call('live', { ...CONSUMER, publisher: 'producer', rate, seconds: SECONDS });
}

async function measured({ kind, double }: Context, rate: number): Promise<Figures> {
  return withServer(kind, double, { POLICIES }, async (target) => {
    const { server, storeUrl } = target;
    const probe = await PositionsProbe.start(storeUrl);
    const [cpu, start] = [cpuMicros(server.pid), performance.now()];
    const answered = await traffic(double, rate);
    await server.drained();
    const seconds = (performance.now() - start) / 1_000 - 0.5;
    const micros = (cpuMicros(server.pid) - cpu) / (rate * SECONDS);
    const written = await probe?.stop();
    const early = await double.call('outcome', 0, 0);
    await fill(
      target,
      Array.from({ length: UNREAD }, () => CONSUMER.topic),
    );
    await sleep(AFTER_A_STORM_MS);
    await double.call('subscribe', [CONSUMER]);
    const { messages, forgotten } = await double.call('outcome', Number.MAX_SAFE_INTEGER, QUIET_MS);
    const bytes = { writes: written?.writesPerSecond ?? NaN, bytes: written?.bytesPerSecond ?? NaN, row: written?.rowBytes ?? NaN };
    return {
      rate: (rate * SECONDS) / Math.max(answered, seconds),
      cpu: micros,
      early: early.copies,
      forgotten,
      unseen: UNREAD - (messages - forgotten),
      ...bytes,
    };
  });
}

/** Messages that EMQX delivers by itself, acknowledged as they come, in a topic with read positions: which of them does the server forget? */
export async function pubsub(context: Context): Promise<void> {
  for (const rate of RATES) {
    const { double, rounds, table } = context;
    const figures = await compare(rounds, {
      plain: () =>
        PlainServer.with(
          double,
          () => undefined,
          async () => {
            const before = ownCpu();
            const seconds = await traffic(double, rate);
            return { rate: (rate * SECONDS) / seconds, cpu: (ownCpu() - before) / (rate * SECONDS) };
          },
        ),
      server: () => measured(context, rate),
    });
    const columns = [
      {
        key: 'rate',
        title: `pubsub: ${rate} messages per second for ${SECONDS} s, published and acknowledged, per second`,
        goal: '5,000 per second',
      },
      { key: 'cpu', title: 'pubsub: CPU per message, microseconds' },
    ];
    const notes = [
      { key: 'early', title: 'pubsub: sent to the client meanwhile, which EMQX had served', quiet: true },
      { key: 'forgotten', title: 'pubsub: acknowledged, and delivered after the next SUBSCRIBE' },
      { key: 'unseen', title: `pubsub: of ${UNREAD} unread ones those that did not come: the check before is worth nothing`, quiet: true },
      { key: 'writes', title: 'pubsub: positions written per second' },
      { key: 'bytes', title: 'pubsub: bytes written to positions per second' },
      { key: 'row', title: 'pubsub: bytes of the position at the end' },
    ];
    table.add(figures, columns, notes);
  }
}
