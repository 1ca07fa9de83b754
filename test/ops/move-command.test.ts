import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseStoreUrl } from '../../src/config/load';
import { Environment } from '../../src/embedded/environment';
import { openStore } from '../../src/stores';
import { EmbeddedStore } from '../../src/stores/embedded';
import { EmbeddedQueue } from '../../src/lanes/embedded';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { EXPIRED, fill, MESSAGES } from './moving-contents';

const COUNTS = ['retained messages: 2', 'client states: 3', 'subscriptions: 4', 'read positions: 300', `messages: ${MESSAGES}`].map(
  (line) => `  ${line}`,
);

describe('emqx-offline-store migrate --from embedded: --to URL', () => {
  const directory = temporaryDirectory();
  const run = async (to: string, ...more: string[]) => {
    const process = await ServerProcess.run({ DATA_DIR: directory.path }, 'migrate', '--from', 'embedded:', '--to', to, ...more);
    return { code: await process.exitCode, output: process.output };
  };
  const withEnvironment = async (work: (environment: Environment) => Promise<unknown>) => {
    const environment = await Environment.open(directory.path);
    try {
      await work(environment);
    } finally {
      await environment.close();
    }
  };
  beforeAll(() =>
    withEnvironment(async (environment) => {
      const store = new EmbeddedStore(environment);
      await store.migrate();
      await fill(store);
    }),
  );
  afterAll(() => directory.remove());

  it('is rejected with a reason for invalid options', async () => {
    const usage = await ServerProcess.run({}, 'migrate', '--help');
    expect(await usage.exitCode).toBe(0);
    expect(usage.output).toContain('--from embedded: --to URL');
    const alone = await ServerProcess.run({ DATA_DIR: directory.path }, 'migrate', '--force');
    expect(await alone.exitCode).toBe(78);
    expect(alone.output).toMatch(/^--(from|to): is missing/);
    expect(await run('embedded:')).toEqual({
      code: 78,
      output: '--to: is the embedded store, as --from is: give the URL of another store\n',
    });
    expect(await run('mysql://localhost')).toEqual({ code: 78, output: expect.stringMatching(/^--to: names no database/) as string });

    const absent = join(directory.path, 'absent');
    const nowhere = await ServerProcess.run({ DATA_DIR: absent }, 'migrate', '--from', 'embedded:', '--to', 'redis://localhost');
    expect(await nowhere.exitCode).toBe(78);
    expect(nowhere.output).toMatch(/^DATA_DIR: there is no \S+absent\/data\.mdb/);
    expect(existsSync(absent)).toBe(false);
    await withEnvironment(async () =>
      expect(await run('redis://localhost')).toEqual({
        code: 78,
        output: expect.stringMatching(/^DATA_DIR: .* is in use by process \d+ .*: stop that server/) as string,
      }),
    );
  });

  withBackends(['postgres'], ({ postgres }) => {
    const open = async (url: string) => openStore(parseStoreUrl('TEST', url), null);
    const count = async (url: string) => {
      const store = await open(url);
      try {
        return await store.countMessages();
      } finally {
        await store.close();
      }
    };

    it('moves everything, keeps DATA_DIR and prints the new settings without the password', async () => {
      const url = new URL(await emptyDatabase(postgres, 'offline_move'));
      const dry = await run(url.href, '--dry-run');
      expect(dry.code).toBe(0);
      for (const line of COUNTS) expect(dry.output).toContain(`${line}\n`);
      await expect(count(url.href)).rejects.toThrow('migrate');

      const { code, output } = await run(url.href);
      expect(output).toContain(`moved from ${directory.path} to postgres://${url.username}:***@`);
      expect(code).toBe(0);
      for (const line of COUNTS) expect(output).toContain(`${line}\n`);
      expect(output).toContain(`expired and not moved: ${EXPIRED} messages`);
      expect(output).toMatch(/^now set STORE_URL=postgres:\/\/\w+:\*\*\*@.*QUEUE_URL may stay embedded:/m);
      expect(await count(url.href)).toBe(MESSAGES);
      await withEnvironment(async (environment) =>
        expect(await new EmbeddedStore(environment).countMessages()).toBe(MESSAGES + EXPIRED - 1),
      );
    });

    it('requires an empty queue or --force, and reports dead letters', async () => {
      const url = await emptyDatabase(postgres, 'offline_move');
      await withEnvironment(async (environment) => {
        const backend = new EmbeddedQueue(environment, (error) => expect(error).toBeNull());
        for (const [name, options] of [
          ['messages-0', {}],
          ['messages-0', { delay: 60_000 }],
          ['clients-0', {}],
          ['dead-letters', {}],
        ] as const) {
          const queue = backend.queue(name);
          await queue.add('job', {}, options);
          await queue.close();
        }
      });
      const refused = await run(url);
      expect(refused.code).toBe(1);
      expect(refused.output).toMatch(/^nothing was moved: .*\(jobs: 2\)\n.*\/v1\/stats.*\n.*--force/);
      const dry = await run(url, '--dry-run');
      expect(dry).toEqual({
        code: 0,
        output: expect.stringMatching(/jobs that wait in the queue .*: 2; while jobs wait, a move needs --force/) as string,
      });
      const forced = await run(url, '--force');
      expect(forced).toEqual({
        code: 0,
        output: expect.stringMatching(
          /\ndead letters that stay in .*: 1; .*\njobs that wait in the queue .*: 2; do not change QUEUE_URL/,
        ) as string,
      });
      expect(await count(url)).toBe(MESSAGES);
      expect(readdirSync(directory.path)).toContain('data.mdb');
    });
  });

  it('reports that the target is unreachable', async () => {
    const { code, output } = await run('postgres://user:secret-word@127.0.0.1:1/x', '--force');
    expect(code).toBe(1);
    expect(output).toMatch(/^--to: .*check host and port.*: it continues the move/);
    expect(output).not.toContain('secret-word');
  });
});
