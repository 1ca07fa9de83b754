import type { Message } from '../../src/mqtt/message';
import type { Position } from '../../src/stores/store';
import { RedisStore } from '../../src/stores/redis';
import { withBackends } from '../support/backends';
import { message } from '../support/messages';
import { keysOf, redisUrl, removeKeys, withRedis } from '../support/redis';
import { afterEachStep } from '../support/redis-steps';

const DEAD = new Error('the process died');

/**
 * Two processes work on the same message. The second one does all of its work after each of the first one's steps. On a single Redis an
 * operation is a single step, so that the tests there show both orders.
 */
describe.each(['redis', 'redis-cluster'] as const)('two processes on %s', (name) => {
  withBackends([name], ({ [name]: server }) => {
    const prefix = `steps-${process.pid}`;
    const stores: RedisStore[] = [];
    let own = '';
    let count = 0;
    const open = () => {
      const store = new RedisStore(redisUrl(server, { prefix: own }));
      stores.push(store);
      return store;
    };
    const topic = 'a/b';
    const soon = () => Date.now() + 60_000;
    const isVisible = async (store: RedisStore, id: string) => {
      const query = { topic, after: '', limit: 10, now: 0 };
      const [listed, refs] = [await store.listMessages(query), await store.listRefs(query)];
      return [await store.getMessage(id), ...listed, ...refs, ...(await store.listTopics({ filter: '#', after: '', limit: 10 }))].some(
        (each) => each !== null,
      );
    };
    /** Purges as if all tombstones and messages had expired. */
    const purge = async (store: RedisStore, now = Date.now() + 900_000) => {
      while ((await store.purgeExpired(now, 100)).more);
    };
    /** A reader removes an empty topic, and ids that have no message. */
    const read = (store: RedisStore) => store.listMessages({ topic, after: '', limit: 10, now: Date.now() });
    const keys = () => withRedis(server, (redis) => keysOf(redis, own));

    /** Two processes with keys of their own. */
    async function two(): Promise<[RedisStore, RedisStore]> {
      own = `${prefix}-${count++}`;
      const [one, other] = [open(), open()];
      await one.migrate();
      return [one, other];
    }

    /** Every step of `first` is tried with all of `second` after it. */
    async function eachStep(
      first: (store: RedisStore) => Promise<unknown>,
      second: (store: RedisStore) => Promise<unknown>,
      check: (store: RedisStore) => Promise<void>,
      prepare: (store: RedisStore) => Promise<unknown> = () => Promise.resolve(),
    ): Promise<void> {
      let reached = true;
      for (let at = 0; reached; at++) {
        reached = false;
        const [one, other] = await two();
        await prepare(other);
        afterEachStep(one, async (step) => {
          if (step !== at) return;
          reached = true;
          await second(other);
        });
        await first(one);
        if (reached) await check(other);
        else expect(at).toBeGreaterThan(0);
      }
    }

    /** @returns true if the process died after the step `at` of its work, false if the work has fewer steps. */
    async function dies(
      dying: RedisStore,
      at: number,
      work: (store: RedisStore) => Promise<unknown>,
      before: (step: number) => Promise<void> = () => Promise.resolve(),
    ): Promise<boolean> {
      afterEachStep(dying, async (step) => {
        await before(step);
        if (step === at) throw DEAD;
      });
      return work(dying).then(
        () => false,
        (error: unknown) => {
          if (error !== DEAD) throw error;
          return true;
        },
      );
    }

    /** The process that does `work` dies after each of its steps. The last try has no such step, and finishes the work. */
    async function eachDeath(
      work: (store: RedisStore) => Promise<unknown>,
      check: (other: RedisStore) => Promise<void>,
      prepare: (store: RedisStore) => Promise<unknown> = () => Promise.resolve(),
    ): Promise<void> {
      for (let at = 0, died = true; died; at++) {
        const [one, other] = await two();
        await prepare(other);
        died = await dies(one, at, work);
        expect(died || at > 0).toBe(true);
        await check(other);
      }
    }

    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
      await removeKeys(server, `${prefix}-*`);
    });

    it('a removal after any step of a save keeps the message away, and nothing of it stays (promise 3)', async () => {
      const saved = message({ topic });
      await eachStep(
        (store) => store.saveMessages([saved]),
        (store) => store.removeMessages([saved], soon()),
        async (store) => {
          expect(await isVisible(store, saved.id)).toBe(false);
          expect(await keys()).toEqual([`${own}:msg-lives`, `${own}:offline-migration`]);
          await store.saveMessages([saved]);
          expect(await isVisible(store, saved.id)).toBe(false);
          await purge(store);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
      );
    });

    it('a save after any step of a removal keeps the message away, and nothing of it stays (promises 2 and 3)', async () => {
      const saved = message({ topic });
      for (const prepare of [() => Promise.resolve(), (store: RedisStore) => store.saveMessages([saved])]) {
        await eachStep(
          (store) => store.removeMessages([saved], soon()),
          (store) => store.saveMessages([saved]),
          async (store) => {
            expect(await isVisible(store, saved.id)).toBe(false);
            await purge(store);
            expect(await keys()).toEqual([`${own}:offline-migration`]);
          },
          prepare,
        );
      }
    });

    // The guard is bury(): the clocks of two servers differ, and the one that is behind may handle the acknowledgement last.
    it('a removal that is repeated with an earlier end leaves the tombstone that lasts longer (promise 3)', async () => {
      own = `${prefix}-${count++}`;
      const [store, saved] = [open(), message({ topic })];
      await store.migrate();
      await store.removeMessages([saved], soon());
      await store.removeMessages([saved], Date.now() + 20);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await store.saveMessages([saved]);
      expect(await isVisible(store, saved.id)).toBe(false);
    });

    it('a purge after any step of a save, and a save after any step of a purge, leave nothing that is never purged', async () => {
      const expired = message({ topic, expiresAt: Date.now() - 1 });
      const save = (store: RedisStore) => store.saveMessages([expired]);
      const check = async (store: RedisStore) => {
        await purge(store);
        await read(store);
        expect(await keys()).toEqual([`${own}:offline-migration`]);
      };
      await eachStep(save, purge, check);
      await eachStep(purge, save, check, save);
    });

    it('a purge that has read an expired tombstone leaves a newer one of the same id (promise 3)', async () => {
      const saved = message({ topic });
      await eachStep(
        (store) => store.purgeExpired(Date.now() + 2_000, 10),
        (store) => store.removeMessages([saved], soon()),
        async (store) => {
          await store.saveMessages([saved]);
          expect(await isVisible(store, saved.id)).toBe(false);
        },
        (store) => store.removeMessages([saved], Date.now() + 1_000),
      );
    });

    const expectFound = async (store: RedisStore, saved: Message) => {
      expect(await store.listMessages({ topic, after: '', limit: 10, now: 0 })).toEqual([saved]);
      expect(await store.listTopics({ filter: '#', after: '', limit: 10 })).toEqual([topic]);
    };

    // The guard is the order in ManyNodes.save: a reader would delete an id without a hash.
    it('a message that is saved is found, although others read after any step of the save', async () => {
      const saved = message({ topic });
      await eachStep(
        (store) => store.saveMessages([saved]),
        read,
        (store) => expectFound(store, saved),
      );
    });

    // The guard is the second look in TopicIndex.removeEmpty.
    it('a message that is saved after any step of the removal of the only other one of its topic is found', async () => {
      const [removed, saved] = [message({ topic }), message({ topic })];
      await eachStep(
        (store) => store.removeMessages([removed], soon()),
        (store) => store.saveMessages([saved]),
        (store) => expectFound(store, saved),
        (store) => store.saveMessages([removed]),
      );
    });

    // The guard is the first look in ManyNodes.save.
    it('a removed message that is saved again is visible after no step of the save', async () => {
      const removed = message({ topic });
      await eachStep(
        (store) => store.saveMessages([removed]),
        async (store) => expect(await isVisible(store, removed.id)).toBe(false),
        async (store) => expect(await isVisible(store, removed.id)).toBe(false),
        (store) => store.removeMessages([removed], soon()),
      );
    });

    // The guards are the look at the entry in dueTopicsOf, without which the message is deleted, and the second look in
    // MessageIndex.end, without which it is never purged.
    it('a message that is saved after any step of the purge of its expired tombstone is purged when it expires', async () => {
      const saved = message({ topic, expiresAt: soon() });
      await eachStep(
        (store) => store.purgeExpired(Date.now(), 10),
        (store) => store.saveMessages([saved]),
        async (store) => {
          expect(await store.listMessages({ topic, after: '', limit: 10, now: Date.now() })).toEqual([saved]);
          expect(await store.countMessages()).toBe(1);
          await purge(store);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
        async (store) => {
          await store.removeMessages([saved], Date.now() + 5);
          await new Promise((resolve) => setTimeout(resolve, 10));
        },
      );
    });

    it('a process that dies after any step of a save has stored nothing that stays, and another can save the same', async () => {
      const saved = message({ topic, expiresAt: soon() });
      const save = (store: RedisStore) => store.saveMessages([saved]);
      for (const again of [true, false]) {
        await eachDeath(save, async (other) => {
          if (again) {
            await save(other);
            await expectFound(other, saved);
          }
          await purge(other);
          await read(other);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        });
      }
    });

    // The guard on a cluster is the removal in ManyNodes.save(): the repeated save finds the tombstone first.
    it('a message that is acknowledged during a save whose process dies stays away when the save is repeated (promise 3)', async () => {
      const saved = message({ topic });
      const save = (store: RedisStore) => store.saveMessages([saved]);
      for (let at = 0, died = true; died; at++) {
        for (let acked = 0; acked <= at; acked++) {
          const [one, other] = await two();
          died = await dies(one, at, save, async (step) => {
            if (step === acked) await other.removeMessages([saved], soon());
          });
          await save(other);
          if (died) expect(await isVisible(other, saved.id)).toBe(false);
        }
      }
    });

    it('a process that dies after any step of a removal has left nothing that stays', async () => {
      const saved = message({ topic });
      const save = (store: RedisStore) => store.saveMessages([saved]);
      const remove = (store: RedisStore) => store.removeMessages([saved], soon());
      for (const again of [true, false]) {
        const check = async (other: RedisStore) => {
          if (again) {
            await remove(other);
            expect(await isVisible(other, saved.id)).toBe(false);
          }
          await save(other);
          await purge(other);
          await read(other);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        };
        await eachDeath(remove, check, save);
      }
    });

    // The guard is the boundary that trimTopic() reads first. A number of surplus messages counts those that have just gone.
    it('a trim leaves the newest messages whatever other trims and acknowledgements do between its steps', async () => {
      const batch = Array.from({ length: 6 }, () => message({ topic }));
      const others = [
        (store: RedisStore) => store.trimTopic(topic, 3),
        (store: RedisStore) => store.removeMessages(batch.slice(0, 2), soon()),
        (store: RedisStore) => store.removeMessages(batch.slice(2, 3), soon()),
      ];
      for (const other of others) {
        await eachStep(
          (store) => store.trimTopic(topic, 3),
          other,
          async (store) => expect(await read(store)).toEqual(batch.slice(3)),
          (store) => store.saveMessages(batch),
        );
      }
    });

    // The guard is the order of putSubscriptions(): a subscription without a time would count as an assigned one, which stays for ever.
    it('a reported subscription stays one when its process dies after any step and another handles the event again', async () => {
      const reported = { clientid: 'c', topic: 't/#', qos: 1 as const, seenAt: 1_000 };
      const report = (store: RedisStore) => store.putSubscriptions([reported]);
      await eachDeath(report, async (other) => {
        await report(other);
        expect(await other.listSubscriptions('c')).toHaveLength(1);
        expect(await other.purgeSubscriptions(2_000, 10)).toEqual({ removed: 1, more: false });
        expect(await keys()).toEqual([`${own}:offline-migration`]);
      });
    });

    it('an assigned subscription stays one when an event reports it after any step of its assignment, and before any', async () => {
      const assigned = { clientid: 'c', topic: 't/#', qos: 1 as const };
      const assign = (store: RedisStore) => store.putSubscriptions([assigned]);
      const report = (store: RedisStore) => store.putSubscriptions([{ ...assigned, seenAt: 1_000 }]);
      const check = async (store: RedisStore) => {
        expect(await store.purgeSubscriptions(2_000, 10)).toEqual({ removed: 0, more: false });
        expect(await store.listSubscriptions('c')).toEqual([assigned]);
      };
      await eachStep(assign, report, check);
      await eachStep(report, assign, check);
    });

    // The guards are the order of the two deletions in purgeSubscriptions(), and the subscription that it puts back.
    it('a subscription that an event reports after any step of its purge stays, as a reported one', async () => {
      const reported = { clientid: 'c', topic: 't/#', qos: 1 as const };
      await eachStep(
        (store) => store.purgeSubscriptions(2_000, 10),
        (store) => store.putSubscriptions([{ ...reported, qos: 2, seenAt: 3_000 }]),
        async (store) => {
          expect(await store.listSubscriptions('c')).toEqual([{ ...reported, qos: 2 }]);
          expect(await store.purgeSubscriptions(2_000, 10)).toEqual({ removed: 0, more: false });
          expect(await store.purgeSubscriptions(4_000, 10)).toEqual({ removed: 1, more: false });
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
        (store) => store.putSubscriptions([{ ...reported, seenAt: 1_000 }]),
      );
    });

    it('a subscription that is purged after any step of its report stays, as a reported one', async () => {
      const reported = { clientid: 'c', topic: 't/#', qos: 1 as const };
      await eachStep(
        (store) => store.putSubscriptions([{ ...reported, qos: 2, seenAt: 3_000 }]),
        (store) => store.purgeSubscriptions(2_000, 10),
        async (store) => {
          expect(await store.listSubscriptions('c')).toEqual([{ ...reported, qos: 2 }]);
          expect(await store.purgeSubscriptions(4_000, 10)).toEqual({ removed: 1, more: false });
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
        (store) => store.putSubscriptions([{ ...reported, seenAt: 1_000 }]),
      );
    });

    // The guard is the look at the time before purgeSubscriptions() puts a subscription back.
    it('a subscription that ends after any step of its purge stays away', async () => {
      const ended = { clientid: 'c', topic: 't/#' };
      await eachStep(
        (store) => store.purgeSubscriptions(2_000, 10),
        (store) => store.deleteSubscriptions([ended]),
        async (store) => {
          expect(await store.listSubscriptions('c')).toEqual([]);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
        (store) => store.putSubscriptions([{ ...ended, qos: 1, seenAt: 1_000 }]),
      );
    });

    it('the state of a client that an event reports after any step of its purge stays, and is purged later', async () => {
      const state = (at: number) => ({ clientid: 'c', connected: false, node: 'emqx@a', connectedAt: 1, disconnectedAt: at, at });
      const save = (at: number) => (store: RedisStore) => store.saveClientStates([state(at)]);
      const purgeUntil = (at: number) => (store: RedisStore) => store.purgeClientStates({ connected: at, disconnected: at }, 10);
      const check = async (store: RedisStore) => {
        expect(await store.getClientState('c')).toEqual(state(3_000));
        expect(await purgeUntil(2_000)(store)).toEqual({ removed: 0, more: false });
        expect(await purgeUntil(soon())(store)).toEqual({ removed: 1, more: false });
        expect(await keys()).toEqual([`${own}:offline-migration`]);
      };
      await eachStep(purgeUntil(2_000), save(3_000), check, save(1_000));
      await eachStep(save(3_000), purgeUntil(2_000), check, save(1_000));
    });

    const LONG_AGO = 7 * 86_400_000;
    const position = (version: number, seenAt: number): Position => ({
      ...{ consumer: 'c', topic, id: `${version}`, receipts: [`@${seenAt}`], version },
    });
    const putOld = (store: RedisStore) => store.putPositions([position(1, 1_000)]);
    const deletion = (version: number): Position => ({ ...position(version, 0), id: '', receipts: [] });

    // The guards are Positions.indexAgain(), because nothing else would find the position, and the look at the value in purgePositions().
    it('a position that is written after any step of the deletion or the purge of an older one is found, and is purged later', async () => {
      const written = position(2, Date.now());
      const purgeOld = (store: RedisStore) => store.purgePositions(LONG_AGO, 10);
      for (const first of [(store: RedisStore) => store.putPositions([deletion(1)]), purgeOld]) {
        await eachStep(
          first,
          (store) => store.putPositions([written]),
          async (store) => {
            expect(await store.positionsOfTopic(topic)).toEqual([written]);
            expect(await store.listPositions('c', '', 10)).toEqual([written]);
            expect(await purgeOld(store)).toEqual({ removed: 0, more: false });
            expect(await store.purgePositions(soon() + LONG_AGO, 10)).toEqual({ removed: 1, more: false });
            expect(await keys()).toEqual([`${own}:offline-migration`]);
          },
          putOld,
        );
      }
    });

    it('a position that is deleted after any step of its writing leaves nothing that is never purged', async () => {
      await eachStep(
        putOld,
        (store) => store.putPositions([deletion(2)]),
        async (store) => {
          await store.purgePositions(LONG_AGO, 10);
          expect(await keys()).toEqual([`${own}:offline-migration`]);
        },
      );
    });

    // The guard is the entry that purgePositions() writes again. Without it the position would be read again for as
    // long as it is not purged.
    it('a position whose process died before it had noted that its consumer was seen is not purged, and not read again', async () => {
      own = `${prefix}-${count++}`;
      const [one, other] = [open(), open()];
      await one.migrate();
      await putOld(other);
      afterEachStep(one, () => {
        throw DEAD;
      });
      await expect(one.putPositions([position(2, Date.now())])).rejects.toBe(DEAD);
      expect(await other.purgePositions(LONG_AGO, 1)).toEqual({ removed: 0, more: true });
      expect(await other.purgePositions(LONG_AGO, 1)).toEqual({ removed: 0, more: false });
      expect(await other.positionsOfTopic(topic)).toHaveLength(1);
    });

    it('a reader that finds an id without a message removes it, unless another process has just saved the message', async () => {
      const saved = message({ topic });
      const [one, other] = await two();
      await other.saveMessages([saved]);
      await withRedis(server, (redis) => redis.del(`${own}:msg:${saved.id}`));
      expect(await isVisible(one, saved.id)).toBe(false);
      await eachStep(
        (store) => store.listMessages({ topic, after: '', limit: 10, now: 0 }),
        (store) => store.saveMessages([saved]),
        async (store) => expect(await store.listMessages({ topic, after: '', limit: 10, now: 0 })).toEqual([saved]),
        async (store) => {
          await store.saveMessages([saved]);
          await withRedis(server, (redis) => redis.del(`${own}:msg:${saved.id}`));
        },
      );
    });
  });
});
