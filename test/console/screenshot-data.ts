import { setTimeout as sleep } from 'node:timers/promises';
import { publishEvent } from '../support/events';
import type { ConsoleStage } from './stage';

const MINUTE_MS = 60_000;
const SITES = ['north', 'harbour', 'hill', 'river', 'mill'];

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Data of a small water company, and traffic that goes on. @returns how to end the traffic */
export async function seed(stage: ConsoleStage): Promise<() => Promise<void>> {
  const now = Date.now();
  const at = (minutesAgo: number) => ({ publishReceivedAt: now - minutesAgo * MINUTE_MS, expiresAt: null });
  const events = SITES.flatMap((site, i) => [
    ...[190, 95, 12].map((age) =>
      publishEvent({
        topic: `site/${site}/alarm`,
        clientid: `plc-${site}`,
        username: 'plc',
        payload: json({ alarm: 'tank level low', level_m: 1.2 + i / 10, limit_m: 1.5, since_min: age }),
        properties: { contentType: 'application/json' },
        ...at(age + i),
      }),
    ),
    ...Array.from({ length: 6 + i * 3 }, (_, n) =>
      publishEvent({
        topic: `site/${site}/pump/command`,
        clientid: 'control-room',
        payload: json({ speed_rpm: 900 + n * 10 }),
        ...at(60 - n),
      }),
    ),
    publishEvent({ topic: `state/${site}/gate`, clientid: `plc-${site}`, payload: Buffer.from('open'), retain: true, ...at(240 + i) }),
  ]);
  await stage.post(...events);
  const bad = publishEvent({ topic: 'site/hill/alarm', clientid: 'plc-hill', payload: json({ alarm: 'door open' }) });
  await stage.refused({ ...bad, qos: 7 });
  await stage.refused({ ...bad, publish_received_at: 1_790_000_000 });
  await stage.refused({ ...bad, topic: 'site/#' });

  const pump = await stage.world.subscriber('pump-17');
  pump.holdAcks();
  await pump.subscribe('site/north/pump/command');
  return traffic(stage);
}

/** Flows that a reader acknowledges at once, and jobs for a van that is connected now and then. */
async function traffic(stage: ConsoleStage): Promise<() => Promise<void>> {
  const { world } = stage;
  const reader = await world.subscriber('historian');
  await reader.subscribe('site/+/flow');
  let round = 0;
  let isOver = false;
  const publish = (topic: string, value: unknown, clientid: string) => world.publish(topic, JSON.stringify(value), {}, clientid);
  const run = async (): Promise<void> => {
    for (; !isOver; round++) {
      const site = SITES[round % SITES.length] ?? '';
      await publish(`site/${site}/flow`, { flow_m3h: 40 + (round % 17) }, `plc-${site}`);
      if (round % 2 === 0) await publish('van/3/job', { job: 4_100 + round, site }, 'control-room');
      if (round % 60 === 50) await visit();
      await sleep(150);
    }
  };
  const visit = async (): Promise<void> => {
    const van = await world.subscriber('van-3');
    await van.subscribe('van/3/job');
    await sleep(1_000);
    await van.disconnect();
  };
  const running = run();
  return async () => {
    isOver = true;
    await running;
  };
}
