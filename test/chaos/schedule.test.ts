import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker } from '../standin/broker';
import type { Rest } from '../standin/rest';
import { audienceOf } from './audience';
import { Cast } from './cast';
import { Checker } from './checker';
import type { Configuration } from './configurations';
import type { FaultGroup, Targets } from './faults';
import { Random } from './random';
import { resultOf } from './result';
import { pausesOf, Schedule } from './schedule';
import type { SupervisedServer } from './servers';
import { Waits } from './waits';

const LATE = { firstMs: [60_000, 60_000], nextMs: [60_000, 60_000] } as const;
const AT_ONCE = { ...LATE, firstMs: [0, 0] } as const;

/** Its faults are over at once. */
const server = { restart: () => Promise.resolve(), freeze: () => Promise.resolve() } as unknown as SupervisedServer;
const targets: Targets = {
  servers: [server],
  rest: {} as Rest,
  queue: null,
  store: null,
  queueLink: null,
  storeLink: null,
  disk: null,
  broker: new EventEmitter() as Broker,
  stills: null,
  droppedSilently: () => undefined,
};

/** Why a round in which all messages arrive has failed: nothing but its faults can be the reason. */
function failuresOf(schedule: Schedule, faults: readonly FaultGroup[]): readonly string[] {
  const configuration: Configuration = { name: 'x', queue: 'embedded', store: 'embedded', servers: 1, faults, share: 1 };
  const traffic = { messages: 1, perSecond: 1, publishers: 1, groups: 1 };
  const options = {
    configuration,
    traffic,
    appendfsync: 'always',
    directory: '',
    command: [],
    logs: '',
    seed: 1,
    pauseMs: [0, 0],
    progress: () => undefined,
  } as const;
  const checker = new Checker(audienceOf('queue', new Cast([])), schedule.between);
  return resultOf({
    options,
    checker,
    schedule,
    waits: new Waits(schedule.between),
    stills: null,
    servers: [],
    emqxLost: [],
    left: 0,
    letters: [],
    late: [],
    problems: [],
    publishedMs: 1,
    durationMs: 1,
  }).failures;
}

describe('a chaos round', () => {
  it('fails when it is over before the first fault', async () => {
    const schedule = new Schedule();
    schedule.start(['server', 'emqx'], targets, new Random(1), LATE);
    await schedule.stop();
    expect(failuresOf(schedule, ['server', 'emqx'])).toEqual(['no fault of these groups happened: server, emqx']);
  });

  it('fails when no fault of one group has happened', async () => {
    const schedule = new Schedule();
    schedule.start(['server'], targets, new Random(1), AT_ONCE);
    await sleep(20);
    await schedule.stop();
    expect(failuresOf(schedule, ['server'])).toEqual([]);
    expect(failuresOf(schedule, ['server', 'emqx'])).toEqual(['no fault of these groups happened: emqx']);
  });

  it('fails when the traffic did not cause an expected situation', async () => {
    const schedule = new Schedule();
    schedule.start(['backlog', 'resume'], targets, new Random(1), AT_ONCE);
    schedule.note('backlog', 'more than a window waits');
    await schedule.stop();
    expect(failuresOf(schedule, ['backlog', 'resume'])).toEqual(['no fault of these groups happened: resume']);
  });

  it('fails when a fault had no target', async () => {
    const schedule = new Schedule();
    const idle = { restart: () => Promise.resolve(false), freeze: () => Promise.resolve(false) } as unknown as SupervisedServer;
    schedule.start(['server'], { ...targets, servers: [idle] }, new Random(1), AT_ONCE);
    await sleep(20);
    await schedule.stop();
    expect(failuresOf(schedule, ['server'])).toEqual(['no fault of these groups happened: server']);
  });

  it('fails when no fault was configured', () => {
    expect(failuresOf(new Schedule(), [])).toEqual(['no fault was to happen']);
  });
});

describe('the first fault of each group', () => {
  it('happens before half of the messages are published', () => {
    const nextMs = [4_000, 28_000] as const;
    expect(pausesOf({ messages: 815, perSecond: 815 / 12 }, nextMs)).toEqual({ firstMs: [1_500, 6_000], nextMs });
    expect(pausesOf({ messages: 32_000, perSecond: 500 }, nextMs)).toEqual({ firstMs: [4_000, 28_000], nextMs });
  });
});
