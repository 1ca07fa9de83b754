import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from '../../src/lanes/backend';
import { Ownership } from '../../src/lanes/ownership';
import type { SharedState } from '../../src/lanes/state';
import { prepared } from '../support/prepared';
import { waitFor } from '../support/wait';
import { onEachQueue } from './queue/kinds';
import type { Kind } from './queue/world';

let sequence = 0;

/**
 * `performance.now` and `Date.now` stand still, and go on by so many ms: what a process that stood still finds. The
 * queue's database keeps its own time.
 */
function clock(): { pass(ms: number): void; restore(): void } {
  const [performanceNow, dateNow] = [performance.now(), Date.now()];
  let passed = 0;
  const spies = [
    jest.spyOn(performance, 'now').mockImplementation(() => performanceNow + passed),
    jest.spyOn(Date, 'now').mockImplementation(() => dateNow + passed),
  ];
  return { pass: (ms) => void (passed += ms), restore: () => spies.forEach((spy) => spy.mockRestore()) };
}

function suite(kind: Kind): void {
  const backends: QueueBackend[] = [];
  const fail = (error: Error): never => {
    throw error;
  };
  let lane = '';
  /** The lane as another process has it. */
  const processOf = (owner: string, backend = 0): Ownership => new Ownership((backends[backend] as QueueBackend).state, lane, owner);

  beforeAll(async () => {
    await kind.empty();
    for (let i = 0; i < (kind.isShared ? 2 : 1); i++) {
      const backend = kind.open(fail);
      backends.push(backend);
      await prepared(backend);
    }
  });
  afterAll(async () => {
    for (const backend of backends) await backend.close();
  });
  beforeEach(() => {
    lane = `lane-${process.pid}-${sequence++}`;
  });

  it('belongs to one process at a time, and other lanes stay free', async () => {
    const [one, other] = [processOf('one'), processOf('other', backends.length - 1)];
    expect(await one.hold()).toBe(true);
    expect(await other.hold()).toBe(false);
    expect(await one.hold()).toBe(true);
    lane = `${lane}-b`;
    expect(await processOf('other').hold()).toBe(true);
  });

  it('goes to exactly one of several processes that request it at once', async () => {
    for (let round = 0; round < 10; round++) {
      lane = `${lane}-${round}`;
      const wants = Array.from({ length: 8 }, (_, i) => processOf(`p${i}`, i % backends.length).hold());
      expect((await Promise.all(wants)).filter((has) => has)).toHaveLength(1);
    }
  });

  it('is taken over at once from a process that has released it', async () => {
    const [one, other] = [processOf('one'), processOf('other')];
    await one.hold();
    await one.release();
    expect(await other.hold()).toBe(true);
    expect(await one.hold()).toBe(false);
    // Twice, and by one who does not have it, changes nothing.
    await one.release();
    expect(await processOf('third').hold()).toBe(false);
  });

  it('is taken over at once even when the database answers slowly', async () => {
    const { state } = backends[0] as QueueBackend;
    const slow: Pick<SharedState, 'load' | 'save'> = {
      load: (keys) => state.load(keys),
      save: async (records) => (await sleep(20), state.save(records)),
    };
    const one = processOf('one');
    await one.hold();
    await one.release();
    expect(await new Ownership(slow, lane, 'other').hold()).toBe(true);
  });

  it('is kept by a process that restarts with the same name', async () => {
    await processOf('one').hold();
    expect(await processOf('one').hold()).toBe(true);
  });

  it('is checked in the database only now and then', async () => {
    let asked = 0;
    const { state } = backends[0] as QueueBackend;
    const counting = { load: (keys: readonly string[]) => (asked++, state.load(keys)), save: state.save.bind(state) };
    const one = new Ownership(counting, lane, 'one');
    for (let i = 0; i < 50; i++) expect(await one.hold()).toBe(true);
    expect(asked).toBe(1);
  });

  it('is not renewed for a process that does not have it', async () => {
    const one = processOf('one');
    await one.renew();
    expect(await processOf('other').hold()).toBe(true);
  });

  // Redis keeps time by itself: there it must pass (below). The guard is the time to live of the record.
  if (kind.name !== 'redis') {
    it('is taken over from a dead process after its time to live, not before', async () => {
      const time = clock();
      try {
        const [one, other] = [processOf('one'), processOf('other')];
        await one.hold();
        time.pass(9_000);
        expect(await other.hold()).toBe(false);
        time.pass(2_000);
        expect(await other.hold()).toBe(true);
      } finally {
        time.restore();
      }
    });

    it('stays with a process that renews it during a long batch', async () => {
      const time = clock();
      try {
        const [one, other] = [processOf('one'), processOf('other')];
        await one.hold();
        for (let i = 0; i < 10; i++) {
          time.pass(4_000);
          await one.renew();
          expect(await other.hold()).toBe(false);
        }
      } finally {
        time.restore();
      }
    });

    // Promise 21. The guards: heldUntil in hold, and the version in its save.
    it('is lost for a process that paused, which cannot take it back', async () => {
      const time = clock();
      try {
        const [one, other] = [processOf('one'), processOf('other')];
        await one.hold();
        time.pass(60_000);
        await other.hold();
        await one.renew();
        expect(await one.hold()).toBe(false);
        await one.release();
        expect(await processOf('third').hold()).toBe(false);
        expect(await other.hold()).toBe(true);
      } finally {
        time.restore();
      }
    });
  }

  // It stood still in the middle of asking: it has seen that the lane is free, and saves when another one has it.
  it('is refused to a process that saves its request late', async () => {
    const { state } = backends[0] as QueueBackend;
    let meanwhile: () => Promise<unknown> = async () => undefined;
    const slow = {
      load: async (keys: readonly string[]) => {
        const found = await state.load(keys);
        await meanwhile();
        return found;
      },
      save: state.save.bind(state),
    };
    const [one, other] = [new Ownership(slow, lane, 'one'), processOf('other')];
    meanwhile = async () => expect(await other.hold()).toBe(true);
    expect(await one.hold()).toBe(false);
    meanwhile = async () => undefined;
    expect(await one.hold()).toBe(false);
    await one.release();
    expect(await processOf('third').hold()).toBe(false);
  });

  if (kind.name === 'redis') {
    it('is taken over from a dead process after its time to live, not before', async () => {
      const [one, other] = [processOf('one'), processOf('other', 1)];
      const from = Date.now();
      await one.hold();
      await waitFor('the end of its time to live', () => other.hold(), 20_000);
      expect(Date.now() - from).toBeGreaterThan(9_000);
      // Our clock has gone on, too.
      await one.renew();
      expect(await one.hold()).toBe(false);
      await one.release();
      expect(await processOf('third').hold()).toBe(false);
    });
  }
}

describe('ownership of a client lane', () => {
  onEachQueue('offline_ownership', null, suite);
});
