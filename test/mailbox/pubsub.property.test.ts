import fc from 'fast-check';
import { GROUP, PubsubWorld } from './pubsub-world';

const MESSAGES = 40;
const CLIENTS = ['c1', 'c2', 'm1', 'm2'] as const;
const CONSUMERS = ['c1', 'c2', GROUP] as const;
const RUNS = Number(process.env['PUBSUB_RUNS'] ?? 100);

type Command =
  | { readonly do: 'publish'; readonly ks: readonly number[] }
  | { readonly do: 'ack'; readonly clientid: (typeof CLIENTS)[number]; readonly ks: readonly number[] }
  | { readonly do: 'subscribe'; readonly consumer: (typeof CONSUMERS)[number] }
  | { readonly do: 'tick'; readonly ms: number }
  /** Its process stands still, and goes on beside the one that takes over. */
  | { readonly do: 'stall'; readonly lane: string }
  | { readonly do: 'crash'; readonly lane: string; readonly when: 'before' | 'after' };

const k = fc.nat(MESSAGES - 1);
/** One, or some in a row, in order or not: a row makes ranges, and what is left out of it comes late. */
const some = fc.oneof(
  fc.array(k, { minLength: 1, maxLength: 3 }),
  fc.tuple(k, fc.nat(12)).map(([from, count]) => Array.from({ length: count + 1 }, (_, i) => Math.min(from + i, MESSAGES - 1))),
);
const publish = some.map((ks): Command => ({ do: 'publish', ks }));
const ack = fc.tuple(fc.constantFrom(...CLIENTS), some).map(([clientid, ks]): Command => ({ do: 'ack', clientid, ks }));
const subscribe = fc.constantFrom(...CONSUMERS).map((consumer): Command => ({ do: 'subscribe', consumer }));
const tick = fc.constantFrom(100, 400, 1_500).map((ms): Command => ({ do: 'tick', ms }));
const lane = fc.constantFrom('messages', ...CLIENTS, GROUP);
const stall = lane.map((each): Command => ({ do: 'stall', lane: each }));
const crash = fc
  .record({ lane, when: fc.constantFrom('before' as const, 'after' as const) })
  .map((each): Command => ({ do: 'crash', ...each }));

const commands = fc.array(
  fc.oneof({ weight: 4, arbitrary: publish }, { weight: 5, arbitrary: ack }, { weight: 2, arbitrary: tick }, subscribe, crash, stall),
  { maxLength: 50, size: 'max' },
);

/** Commands come one by one while the lanes work. @returns what went wrong. */
async function play(scheduler: fc.Scheduler, all: readonly Command[], guards?: { late: boolean }): Promise<string[]> {
  const world = new PubsubWorld(scheduler, guards);
  const run = (command: Command) => {
    switch (command.do) {
      case 'publish':
        return world.publish(command.ks);
      case 'ack':
        return world.ack(command.clientid, command.ks);
      case 'subscribe':
        return world.subscribe(command.consumer);
      case 'tick':
        return world.tick(command.ms);
      case 'stall':
        return world.lane(command.lane).stall();
      case 'crash':
        return world.crash(command.lane, command.when);
    }
  };
  const { task } = scheduler.scheduleSequence(all.map((command, i) => ({ label: String(i), builder: async () => run(command) })));
  await scheduler.waitIdle();
  await task;
  for (const consumer of CONSUMERS) world.subscribe(consumer);
  await scheduler.waitIdle();
  return world.failures;
}

describe('read positions in any order of publishes, acknowledgements and crashes', () => {
  it('lose no message, and no acknowledged message is sent again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), commands, async (scheduler, all) => {
        expect(await play(scheduler, all)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  // The counter-test: without LateWrites the same interleavings do lose messages, or the test above would prove nothing.
  it('would lose late messages without the reports of late writes', async () => {
    const { failed } = await fc.check(
      fc.asyncProperty(fc.scheduler(), commands, async (scheduler, all) => {
        expect(await play(scheduler, all, { late: false })).toEqual([]);
      }),
      { numRuns: RUNS * 4, endOnFailure: true },
    );
    expect(failed).toBe(true);
  });
});
