import type { Message } from '../mqtt/message';
import type { Store } from './store';

/** No wildcard subscription matches this topic. */
const PROBE_TOPIC = '$offline-probe';
const LIFE_MS = 60_000;

/**
 * Writes a message, reads it and removes it. That shows whether the store does what the server needs, including the
 * user's rights and the disk. If the process dies in between, the message is purged within two minutes.
 * @throws the error that occurred.
 */
export async function probeStore(store: Pick<Store, 'saveMessages' | 'getMessage' | 'removeMessages'>): Promise<void> {
  const now = Date.now();
  const random = Math.floor(Math.random() * 2 ** 32)
    .toString(16)
    .padStart(16, '0');
  const id = `${(BigInt(now) * 1000n).toString(16).padStart(16, '0')}${random}`.toUpperCase();
  const message: Message = {
    ...{ id, topic: PROBE_TOPIC, clientid: PROBE_TOPIC, username: null, qos: 1, retain: false, payload: Buffer.from('probe') },
    ...{ properties: {}, publishReceivedAt: now, expiresAt: now + LIFE_MS },
  };
  const [refusal] = await store.saveMessages([message]);
  if (refusal !== undefined) throw new Error(refusal.reason);
  if ((await store.getMessage(id, PROBE_TOPIC)) === null) throw new Error('the test message was written, but reading it found nothing');
  await store.removeMessages([message], now + LIFE_MS);
}
