import { Client } from 'pg';
import { RefusedError, RetryableError, SettingError } from '../../src/base/errors';
import { parseStoreUrl } from '../../src/config/load';
import { Environment } from '../../src/embedded/environment';
import { checkMove } from '../../src/ops/move-embedded';
import { copyAll, type MovingOptions } from '../../src/ops/moving';
import { openStore } from '../../src/stores';
import { EmbeddedStore } from '../../src/stores/embedded';
import type { Store } from '../../src/stores/store';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { removeKeys } from '../support/redis';
import { temporaryDirectory } from '../support/temp';
import { contentsOf, EXPIRED, fill, MESSAGES } from './moving-contents';

const NOW = Date.now();

describe('a store that `migrate --from --to` moves', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  let source: EmbeddedStore;
  beforeAll(async () => {
    environment = await Environment.open(directory.path);
    source = new EmbeddedStore(environment);
    await source.migrate();
    await fill(source);
  });
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });

  const move = (target: Store | null, options: Partial<MovingOptions> = {}) =>
    copyAll(source, target, { now: NOW, pauses: [], ...options });
  const all = { 'retained messages': 2, 'client states': 3, subscriptions: 4, 'read positions': 300, messages: MESSAGES };

  /** The target, with other methods in the place of some of its own. */
  const changed = (target: Store, methods: Partial<Store>): Store =>
    new Proxy(target, { get: (own, name) => Reflect.get(name in methods ? methods : own, name) as unknown });

  function moves(open: () => Promise<Store>): void {
    let target: Store;
    beforeEach(async () => {
      target = await open();
      await target.migrate();
    });
    afterEach(() => target.close());

    it('has the same contents without expired messages, even when it is moved twice', async () => {
      const expected = await contentsOf(source);
      expect(await move(target)).toEqual({ counts: all, expired: EXPIRED, refused: 0, refusals: [] });
      expect(await contentsOf(target)).toEqual(expected);
      expect(await move(target)).toEqual({ counts: all, expired: EXPIRED, refused: 0, refusals: [] });
      expect(await contentsOf(target)).toEqual(expected);
      // Those of the clients that were seen once are gone, the assigned ones stay: which is which has been moved, too.
      for (const store of [source, target]) await store.purgeSubscriptions(NOW - 1_000, 1_000);
      const left = await Promise.all([source, target].map((store) => store.listSubscriptions('client')));
      expect(left[0]).toEqual([{ clientid: 'client', topic: 'assigned/#', qos: 2 }]);
      expect(left[1]).toEqual(left[0]);
      await fill(source);
    });

    it('is complete after an interruption, and newer rows of the target are kept', async () => {
      let left = 3;
      const dying = changed(target, {
        saveMessages: async (batch) => {
          if (left-- === 0) throw new RetryableError('the target is away');
          return target.saveMessages(batch);
        },
      });
      await expect(move(dying)).rejects.toThrow('the target is away');
      await target.putPositions([{ consumer: 'client', topic: 'read/1', id: 'NEWER', receipts: [], version: 100 }]);
      await target.saveClientStates([
        { clientid: 'client', connected: false, node: null, connectedAt: null, disconnectedAt: NOW + 5, at: NOW + 5 },
      ]);
      await move(target);
      const [expected, found] = [await contentsOf(source), await contentsOf(target)];
      expect(found.messages).toEqual(expected.messages);
      expect(await target.getPositions('client', ['read/1'])).toMatchObject([{ id: 'NEWER', version: 100 }]);
      expect(await target.getClientState('client')).toMatchObject({ connected: false, at: NOW + 5 });
    });
  }

  withBackends(['postgres'], ({ postgres }) => {
    describe('to PostgreSQL', () => {
      const database = 'offline_moving';
      moves(async () => openStore(parseStoreUrl('TEST', await emptyDatabase(postgres, database)), null));

      it('reports rejected messages and moves the others', async () => {
        const url = await emptyDatabase(postgres, database);
        const target = await openStore(parseStoreUrl('TEST', url), null);
        try {
          await target.migrate();
          const client = new Client({ connectionString: url });
          await client.connect();
          await client.query(`ALTER TABLE mqtt_msg ADD CONSTRAINT fine CHECK (topic <> 'many/7')`);
          await client.end();
          const [refused] = await source.listRefs({ topic: 'many/7', after: '', limit: 1, now: NOW });
          const moved = await move(target);
          expect(moved).toMatchObject({
            counts: { ...all, messages: MESSAGES - 1 },
            refused: 1,
            refusals: [{ id: refused?.id, reason: expect.stringMatching(/fine.*23514/) as string }],
          });
          expect(await target.countMessages()).toBe(MESSAGES - 1);
        } finally {
          await target.close();
        }
      });
    });
  });

  withBackends(['redis'], ({ redis }) => {
    describe('to Redis', () => {
      const prefix = `moving-${process.pid}`;
      afterAll(() => removeKeys(redis, prefix));
      moves(async () => {
        await removeKeys(redis, prefix);
        return openStore(parseStoreUrl('TEST', `${redis}?prefix=${prefix}`), null);
      });
    });
  });

  describe('in small steps', () => {
    const other = temporaryDirectory();
    let there: Environment;
    let target: EmbeddedStore;
    beforeEach(async () => {
      there = await Environment.open(other.path);
      target = new EmbeddedStore(there);
      await target.migrate();
    });
    afterEach(() => there.close());
    afterAll(() => other.remove());

    it('has batches of up to 256 messages and about 4 MB', async () => {
      const great = Array.from({ length: 5 }, () => message({ topic: 'great', payload: Buffer.alloc(1_500_000) }));
      await source.saveMessages(great);
      const batches: number[][] = [];
      const saveMessages = async (batch: Parameters<Store['saveMessages']>[0]) => (
        batches.push(batch.map(({ payload }) => payload.length)),
        []
      );
      await move(changed(target, { saveMessages }));
      await source.removeMessages(great, 0);
      expect(Math.max(...batches.map(({ length }) => length))).toBe(256);
      expect(Math.max(...batches.map((sizes) => sizes.reduce((sum, size) => sum + size, 0)))).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(batches.flat()).toHaveLength(MESSAGES + 5);
    });

    it('retries when the target is busy', async () => {
      let tries = 0;
      const saveMessages = async (batch: Parameters<Store['saveMessages']>[0]) => {
        if (tries++ % 3 < 2) throw new RetryableError('busy');
        return target.saveMessages(batch);
      };
      expect(await move(changed(target, { saveMessages }), { pauses: [0, 0] })).toMatchObject({ counts: all });
      expect(tries).toBe(3 * Math.ceil(MESSAGES / 256));
    });

    it('reports the first 20 rejected rows', async () => {
      const putPositions: Store['putPositions'] = async (positions) => {
        if (positions.some(({ topic }) => /[05]$/.test(topic))) throw new RefusedError('no such topics');
      };
      const { counts, refused, refusals } = await move(changed(target, { putPositions }));
      expect(counts['read positions'] + refused).toBe(300);
      expect(refused).toBe(60);
      expect(refusals).toHaveLength(20);
      expect(refusals[0]).toEqual({ id: '$share/group read/250', reason: 'no such topics' });
    });

    it('is only counted without a target', async () => {
      expect(await move(null)).toEqual({ counts: all, expired: EXPIRED, refused: 0, refusals: [] });
    });
  });
});

describe('a move', () => {
  it.each([
    ['redis://a', 'postgres://a/b', /^--from: must be embedded:/],
    ['embedded:', 'embedded:', /^--to: is the embedded store/],
    ['embedded:', 'oracle://a', /^--to: has the scheme "oracle"; allowed are/],
    ['nothing', 'redis://a', /^--from: is not a URL/],
    ['embedded:', undefined, /^--to: is missing, while --from is given/],
    [undefined, 'redis://a', /^--from: is missing, while --to is given/],
  ])('from %s to %s is rejected', (from, to, reason) => {
    expect(() => checkMove(from, to)).toThrow(SettingError);
    expect(() => checkMove(from, to)).toThrow(reason);
  });
});
