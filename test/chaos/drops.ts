import { setTimeout as sleep } from 'node:timers/promises';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import type { Broker } from '../standin/broker';
import type { BrokerMessage } from '../standin/message';
import type { Session } from '../standin/session';
import type { Random } from './random';

/** It looks for so long for sessions that have something to lose. ms. */
const LOOK_MS = 10_000;
const LOOK_EVERY_MS = 50;

/**
 * EMQX drops what waits in sessions' queues without telling anybody (promise 23): copies that the server sent, of a client that is connected and
 * acknowledges; of a session whose client is away also EMQX's own copies, as a subscription comes when it is back.
 * @returns whether a client that is connected lost something.
 */
export async function dropSilently(broker: Broker, random: Random, dropped: (message: BrokerMessage) => void): Promise<boolean> {
  for (const end = performance.now() + LOOK_MS; performance.now() < end; await sleep(LOOK_EVERY_MS)) {
    const victims = [...broker.sessions.values()]
      .map((session) => ({ session, losable: losableOf(session) }))
      .filter(({ losable }) => losable.length > 0);
    const connected = victims.filter(({ session }) => session.outlet !== null);
    if (connected.length === 0) continue;
    const away = victims.filter(({ session }) => session.outlet === null && random.chance(0.5));
    for (const { session, losable } of [random.pick(connected), ...away]) {
      const lost = new Set(losable.filter(() => random.chance(0.5)).concat(random.pick(losable)));
      session.dropSilently((message) => lost.has(message));
      for (const message of lost) dropped(message);
    }
    return true;
  }
  return false;
}

function losableOf({ queue, outlet }: Session): BrokerMessage[] {
  return queue
    .map(({ message }) => message)
    .filter(({ properties }) => outlet === null || (properties.userProperties ?? []).some(({ key }) => key === MSGID_PROPERTY));
}
