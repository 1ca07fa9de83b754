import { RestoreWatch } from '../../src/mailbox/retained/restore-watch';
import { ForbiddenError, NoSuchPathError } from '../../src/emqx/api';
import { createLogger } from '../../src/base/log';
import type { RestoreStep } from '../../src/lanes/jobs';
import { policy } from '../support/policies';

const START = 1_000_000;

function subject({ oldest = null as number | null, kept = null as number | null } = {}) {
  const values = new Map<string, string>(kept === null ? [] : [['retained-looked-at', String(kept)]]);
  const steps: RestoreStep[] = [];
  const broker = { startedAt: START as number | null, oldest, failure: null as Error | null };
  let leased = false;
  const hooks = { beforeLease: async (_owner: string): Promise<void> => undefined };
  const startedAt = async () => {
    if (broker.failure !== null) throw broker.failure;
    return broker.startedAt;
  };
  const watch = (owner = 'one', warn: (fields: unknown) => void = () => undefined) =>
    new RestoreWatch({
      retainer: { isOn: async () => true, idOf: async () => null, startedAt, oldest: async () => broker.oldest },
      state: {
        get: async (key) => values.get(key) ?? null,
        set: async (key, value) => void values.set(key, value),
        lease: async (claims) => {
          await hooks.beforeLease(claims[0]?.owner ?? '');
          const answer = leased ? 'held' : 'granted';
          leased = true;
          return claims.map(() => answer);
        },
        release: async () => void (leased = false),
      },
      lanes: { restore: async (step) => void steps.push(step) },
      policies: [
        policy({ filter: 'a/#', retain: 'restore' }),
        policy({ filter: 'b/#', retain: 'store' }),
        policy({ filter: 'c', retain: 'restore' }),
        policy(),
      ],
      log: Object.assign(createLogger({ level: 'silent' }), { warn }),
      owner,
    });
  return { watch, broker, steps, hooks };
}

describe("the watch over EMQX's retained messages", () => {
  it('restores once per start of EMQX when EMQX has no older messages', async () => {
    const { watch, broker, steps } = subject();
    const one = watch();
    await one.check();
    expect(steps).toEqual([]);
    await one.check();
    expect(steps).toEqual(['a/#', 'c'].map((filter) => ({ filter, before: START, after: '' })));
    // The clock of the answer has a resolution of a second.
    for (const jitter of [-900, 900, 0]) {
      broker.startedAt = START + jitter;
      await one.check();
    }
    expect(steps).toHaveLength(2);
    broker.startedAt = START + 60_000;
    broker.oldest = START + 61_000;
    await one.check();
    await one.check();
    expect(steps).toHaveLength(4);
  });

  it('restores nothing when EMQX kept its retained messages', async () => {
    const { watch, steps, broker } = subject({ oldest: START - 60_000 });
    const one = watch();
    for (let i = 0; i < 3; i++) await one.check();
    // Old retained messages may be deleted later. That is no restart of EMQX.
    broker.oldest = null;
    await one.check();
    expect(steps).toEqual([]);
  });

  it('restores nothing for a start that a process has already checked', async () => {
    const { watch, steps } = subject({ kept: START + 500 });
    const one = watch();
    for (let i = 0; i < 3; i++) await one.check();
    expect(steps).toEqual([]);
  });

  it('restores in one of several processes only', async () => {
    const { watch, steps } = subject();
    const all = ['one', 'two', 'three'].map((owner) => watch(owner));
    for (let i = 0; i < 3; i++) await Promise.all(all.map((each) => each.check()));
    expect(steps).toHaveLength(2);
  });

  // The guard is the second lookedAt() in RestoreWatch.check.
  it('does not restore again in a process that was slow', async () => {
    const { watch, steps, hooks } = subject();
    const [one, two] = [watch('one'), watch('two')];
    await Promise.all([one.check(), two.check()]);
    // Before the second has the lease the first is done.
    hooks.beforeLease = async (owner) => (owner === 'two' ? one.check() : undefined);
    await two.check();
    expect(steps).toHaveLength(2);
  });

  // The guard is ForbiddenError in RestoreWatch.look: /readyz is ready with such a key, and nobody else would tell.
  it.each([
    ['rejects the request', new ForbiddenError('403 for GET /nodes')],
    ['has no such REST path', new NoSuchPathError('404')],
  ])('warns once that nothing is restored automatically when EMQX %s', async (_, error) => {
    jest.useFakeTimers();
    const { watch, broker } = subject();
    const warnings: unknown[] = [];
    const one = watch('one', (fields) => void warnings.push(fields));
    broker.failure = error;
    one.start();
    await jest.advanceTimersByTimeAsync(20_000);
    await one.stop();
    jest.useRealTimers();
    expect(warnings).toEqual([{ reason: error.message }]);
  });

  it('restores nothing when EMQX does not report its start time', async () => {
    const { watch, steps, broker } = subject();
    broker.startedAt = null;
    const one = watch();
    for (let i = 0; i < 3; i++) await one.check();
    expect(steps).toEqual([]);
  });
});
