import { setTimeout as sleep } from 'node:timers/promises';
import { RetryableError } from '../../src/base/errors';
import { parseServiceUrl } from '../../src/config/url';
import type { Message } from '../../src/mqtt/message';
import { PostgresStore } from '../../src/stores/postgres';
import { connectionOf } from '../../src/stores/postgres/connection';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { PostgresPair } from '../support/postgres-pair';
import { Proxy } from '../support/proxy';

const TOPICS = 8;
const BATCH = 64;
const BATCHES = 60;
const LATER = 15 * 60_000;

let failed = 0;

/** As the server's lanes do it: a call that failed is made again until it succeeds. */
async function untilDone<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof RetryableError) || tries > 2_000) throw error;
      failed++;
      await sleep(50);
    }
  }
}

describe('PostgreSQL with a synchronous standby', () => {
  // It needs the programs of PostgreSQL that the test server came with.
  withBackends(['postgres'], () => {
    let pair: PostgresPair;
    let proxy: Proxy;
    let store: PostgresStore;

    beforeAll(async () => {
      pair = await PostgresPair.start();
      proxy = await Proxy.to(pair.primaryUrl);
      store = new PostgresStore(connectionOf(parseServiceUrl(proxy.url, ['postgres']), 'STORE_URL'));
      await store.migrate();
    }, 90_000);
    afterAll(async () => {
      await store.close();
      await proxy.close();
      await pair.stop();
    });

    /** The primary is gone, and whatever leads to it leads to the promoted standby: a virtual address, a proxy or a pooler. */
    const failOver = async (): Promise<void> => {
      proxy.cut();
      await pair.crashPrimary();
      await pair.promoteStandby();
      proxy.pointTo(pair.standbyUrl);
      proxy.restore();
    };

    it('loses nothing that was confirmed, and brings nothing back, when the primary dies during saves and removals', async () => {
      const saved: Message[] = [];
      const removed: Message[] = [];
      let failover: Promise<void> | null = null;
      for (let i = 0; i < BATCHES; i++) {
        const batch = Array.from({ length: BATCH }, (_, k) => message({ topic: `pair/${k % TOPICS}` }));
        const saving = untilDone(() => store.saveMessages(batch));
        const gone = i % 3 === 2 ? saved.slice(-BATCH / 2) : [];
        const removing = untilDone(() => store.removeMessages(gone, Date.now() + LATER));
        if (i === BATCHES / 2) failover = failOver();
        await Promise.all([saving, removing]);
        saved.push(...batch);
        removed.push(...gone);
      }
      await failover;
      expect(failed).toBeGreaterThan(0);
      // EMQX may send an event again, also to the new primary.
      expect(await store.saveMessages(removed)).toEqual([]);
      const isRemoved = new Set(removed.map(({ id }) => id));
      expect(isRemoved.size).toBeGreaterThan(500);
      for (let i = 0; i < TOPICS; i++) {
        const topic = `pair/${i}`;
        const refs = await store.listRefs({ topic, after: '', limit: 10_000, now: Date.now() });
        expect(refs.map(({ id }) => id)).toEqual(
          saved.filter((each) => each.topic === topic && !isRemoved.has(each.id)).map(({ id }) => id),
        );
      }
    }, 120_000);
  });
});
