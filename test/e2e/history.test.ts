import { randomUUID } from 'node:crypto';
import { withBackends } from '../support/backends';
import { Proxy } from '../support/proxy';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World } from './world';

/** Every stored message is appended to the histories; the way to the subscriber does not wait for them. */
describe('histories', () => {
  withBackends(['influxdb', 'opentsdb'], ({ influxdb, opentsdb }) => {
    const directory = temporaryDirectory();
    let world: World;
    let proxy: Proxy;
    // InfluxDB keeps what earlier runs have written.
    const topic = `t/history/${randomUUID()}`;
    /** The payloads in InfluxDB. */
    const appended = async (): Promise<string[]> => {
      const query = new URLSearchParams({
        db: new URL(influxdb).pathname.slice(1),
        q: `SELECT payload FROM mqtt_msg WHERE topic = '${topic}'`,
      });
      const answer = await fetch(`${influxdb.replace('influxdb:', 'http:').replace(/\/\w+$/, '')}/query?${query.toString()}`);
      const { results } = (await answer.json()) as { results: { series?: { values: [string, string][] }[] }[] };
      return results[0]?.series?.[0]?.values.map(([, payload]) => payload) ?? [];
    };

    beforeAll(async () => {
      proxy = await Proxy.to(influxdb);
      world = await World.start({ env: { DATA_DIR: directory.path, HISTORY_URLS: `${proxy.url},${opentsdb}` } });
    });
    afterAll(async () => {
      await world.stop();
      await proxy.close();
      directory.remove();
    });

    it('keep every message, even after it was delivered and removed', async () => {
      const subscriber = await world.subscriber('reader');
      await world.publish(topic, '21.5');
      await world.storedCount(1, topic);
      await subscriber.subscribe(topic);
      expect(await subscriber.receives(1)).toEqual(['21.5']);
      await world.storedCount(0, topic);
      await waitFor('the history', async () => (await appended()).length === 1);
      expect(await appended()).toEqual(['21.5']);
    });

    it('that are unreachable fail /readyz, delay nothing else, and later get every message', async () => {
      proxy.cut();
      const subscriber = await world.subscriber('another reader');
      await subscriber.subscribe(topic);
      await world.publish(topic, '22');
      expect(await subscriber.receives(1)).toEqual(['22']);
      await world.storedCount(0, topic);
      // OpenTSDB is there. On a busy machine it may need longer for its answer than one check waits.
      const histories = await waitFor('a failed check beside a good one', async () => {
        const { checks } = (await (await fetch(`${world.server.url}/readyz`)).json()) as {
          checks: { name: string; ok: boolean; detail: string }[];
        };
        const both = checks.filter(({ name }) => name.startsWith('history'));
        return both[1]?.ok === true ? both : null;
      });
      expect(histories.map(({ ok }) => ok)).toEqual([false, true]);
      expect(histories[0]!.detail).toMatch(/^HISTORY_URLS: InfluxDB at .*check port/);
      proxy.restore();
      await waitFor('the history', async () => (await appended()).length === 2);
      expect(await appended()).toEqual(['21.5', '22']);
    });

    // OpenTSDB takes numbers only.
    it('promise 13: set a message that they reject aside, and it is still delivered', async () => {
      const subscriber = await world.subscriber('third reader');
      await subscriber.subscribe(topic);
      await world.publish(topic, 'no number');
      expect(await subscriber.receives(1)).toEqual(['no number']);
      const letters = async () =>
        (await (await fetch(`${world.server.url}/v1/dead-letters`)).json()) as { dead_letters?: unknown[]; letters?: unknown[] };
      const found = await waitFor('the dead letter', async () => {
        const page = JSON.stringify(await letters());
        return page.includes('no number') || page.includes(Buffer.from('no number').toString('base64')) ? page : null;
      });
      expect(found).toMatch(/opentsdb:\/\/[^"]*: /);
      await world.storedCount(0, topic);
    });
  });
});
