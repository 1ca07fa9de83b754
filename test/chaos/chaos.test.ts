import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { withBackends } from '../support/backends';
import { temporaryDirectory } from '../support/temp';
import type { Configuration } from './configurations';
import type { Result } from './result';
import { runRound } from './round';
import { details } from './table';

/** The short form of `npm run chaos`: the same faults and the same checker, a few seconds of each. CHAOS_SEED chooses other faults. */
const SEED = Number(process.env['CHAOS_SEED'] ?? 84_871);

describe(`chaos, seed ${SEED}`, () => {
  const directory = temporaryDirectory();
  const run = async (configuration: Configuration, messages: number): Promise<Result> => {
    const logs = join(directory.path, configuration.name);
    mkdirSync(logs);
    return runRound({
      ...{
        configuration,
        logs,
        seed: SEED,
        appendfsync: 'always',
        directory: join(__dirname, '../..'),
        command: ['--import', 'tsx', 'src/main.ts'],
        pauseMs: [300, 4_000],
      },
      traffic: { messages, perSecond: 120, publishers: 8, groups: 1 },
      progress: () => undefined,
    });
  };
  const expectPassed = (result: Result) => {
    if (result.failures.length > 0) throw new Error(`seed ${SEED}\n${details(result)}`);
  };
  afterAll(() => rmSync(directory.path, { recursive: true, force: true }));

  it('the embedded server loses, repeats and reorders no message despite crashes', async () => {
    expectPassed(
      await run(
        { name: 'embedded', queue: 'embedded', store: 'embedded', servers: 1, faults: ['server', 'emqx', 'backlog', 'resume'], share: 1 },
        700,
      ),
    );
  }, 240_000);

  // Says whether the machine has what the private servers need.
  withBackends(['postgres', 'redis'], () => {
    it('the server on Redis and PostgreSQL loses, repeats and reorders no message despite crashes', async () => {
      expectPassed(
        await run(
          {
            name: 'redis-postgres',
            queue: 'own-redis',
            store: 'own-postgres',
            servers: 1,
            faults: ['server', 'emqx', 'queue', 'store', 'backlog', 'resume'],
            share: 1,
          },
          700,
        ),
      );
    }, 240_000);
  });
});
