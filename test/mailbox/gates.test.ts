import type { LaneProgress } from '../../src/lanes/sequence';
import { clientLane, laneOf } from '../../src/lanes/names';
import { clientKey, mailboxKey } from '../../src/mqtt/consumer';
import { deliver, PassWorld } from './pass-world';

const DONE: LaneProgress = { tail: 7, oldest: null, waiting: null };
const BUSY: LaneProgress = { tail: 7, oldest: 7, waiting: 7 };
const NEWER: LaneProgress = { tail: 9, oldest: 8, waiting: 8 };
const laneOfMail = (key: string): string => clientLane(laneOf(key, 2));

/** Promise 4: a run reads when what was accepted before it is done. */
describe('a run', () => {
  async function subject(mode: 'queue' | 'pubsub' = 'queue') {
    const world = new PassWorld({ mode, deliverTo: 'inbox' });
    await world.stored('t', 'M');
    return world;
  }

  it.each(['t', '+', '$share/g/#'])('of %s waits for the writes accepted before it, not for later ones', async (filter) => {
    const world = await subject();
    let messages = BUSY;
    world.progress = (lane) => (lane.startsWith('messages-') ? messages : DONE);
    await world.handle([deliver('c', filter)]);
    await world.until(21_000);
    expect(world.published).toEqual([]);
    messages = NEWER;
    await world.until(22_000);
    expect(world.published).toEqual(['$offline/c/t M']);
  });

  it('checks the writes after 10 ms, and then with growing pauses up to 500 ms', async () => {
    const world = await subject();
    world.progress = () => BUSY;
    const looks: number[] = [];
    await world.handle([deliver('c', 't')]);
    for (let i = 0; i < 12; i++) {
      const next = Math.min(...world.wakes.map(({ at }) => at));
      looks.push(next - world.now);
      await world.until(next);
    }
    expect(looks.slice(0, 4)).toEqual([10, 20, 40, 80]);
    expect(Math.max(...looks)).toBe(500);
  });

  it('of a client does not wait for the client lanes', async () => {
    const world = await subject();
    world.progress = (lane) => (lane.startsWith('messages-') ? DONE : BUSY);
    await world.handle([deliver('c', 't')]);
    expect(world.published).toEqual(['$offline/c/t M']);
  });

  describe('of a group', () => {
    const request = deliver('m', '$share/g/t', { consumer: '$share/g' });
    const own = laneOfMail(mailboxKey('$share/g'));
    const other = own === clientLane(0) ? clientLane(1) : clientLane(0);

    // Its members' acknowledgements are there, and are passed on from there. The guard is `gathers`.
    it("waits for the writes and for the client lanes with its members' acknowledgements", async () => {
      for (const lane of [other, own, 'messages-0']) {
        const world = await subject('pubsub');
        let busy = BUSY;
        world.progress = (each) => (each === lane ? busy : DONE);
        await world.handle([request]);
        await world.until(21_000);
        expect([lane, world.published]).toEqual([lane, []]);
        // In its own lane it then waits for what is there by now.
        busy = lane === own ? DONE : NEWER;
        await world.until(22_000);
        expect([lane, world.published]).toEqual([lane, ['$offline/m/t M']]);
      }
    });

    it('then waits for the acknowledgements that they passed on to its own lane', async () => {
      const world = await subject('pubsub');
      let members: LaneProgress = BUSY;
      // When the members' lanes are done there is something new in the group's.
      world.progress = (lane) => {
        if (lane === other) return members;
        return lane === own && members !== BUSY ? ownLane : DONE;
      };
      let ownLane: LaneProgress = { tail: 12, oldest: 12, waiting: 12 };
      await world.handle([request]);
      members = NEWER;
      await world.until(21_000);
      expect(world.published).toEqual([]);
      ownLane = { tail: 14, oldest: 13, waiting: 13 };
      await world.until(22_000);
      expect(world.published).toEqual(['$offline/m/t M']);
    });

    // Otherwise it would wait for itself. The guard is progressOf in gates.ts.
    it('does not wait for the batch that it belongs to itself', async () => {
      const world = await subject('pubsub');
      world.progress = (lane) => (lane === own ? { tail: 7, oldest: 7, waiting: null } : DONE);
      await world.handle([request]);
      expect(world.published).toEqual(['$offline/m/t M']);
    });

    it('waits for a batch in another lane that is being processed', async () => {
      const world = await subject('pubsub');
      world.progress = (lane) => (lane === other ? { tail: 7, oldest: 7, waiting: null } : DONE);
      await world.handle([request]);
      expect(world.published).toEqual([]);
    });
  });

  it('of many clients reads the progress of the lanes once', async () => {
    let asked = 0;
    const world = new PassWorld({}, () => ({
      sequence: {
        progress: async (lanes) => {
          asked++;
          return new Map(lanes.map((lane) => [lane, DONE]));
        },
      },
    }));
    await world.handle(Array.from({ length: 50 }, (_, i) => deliver(`c${i}`, i % 2 === 0 ? 't' : '#')));
    expect(asked).toBe(1);
  });
});

test('clients and groups share the client lanes', () => {
  expect([clientLane(0), clientLane(1)]).toContain(laneOfMail(clientKey('c')));
});
