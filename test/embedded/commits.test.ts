import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { RetryableError } from '../../src/base/errors';
import { Environment } from '../../src/embedded/environment';
import { temporaryDirectory } from '../support/temp';

const [KEY, LATER, VALUE] = [Buffer.from('key'), Buffer.from('later'), Buffer.from('value')];

describe('a commit of the embedded database that fails', () => {
  const directory = temporaryDirectory();
  let environment: Environment;
  beforeEach(async () => {
    environment = await Environment.open(directory.path);
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await environment.close();
    directory.remove();
  });

  const put = (key: Buffer) => environment.write(() => environment.table('test').put(key, VALUE));
  const has = (key: Buffer) => environment.table('test').has(key);

  /** lmdb loses the next transaction, and says that it is committed when `until` has resolved, which is called afterwards. */
  const loseNext = (until: () => Promise<unknown>) => {
    const root = environment['root'];
    const transaction = root.transaction.bind(root) as (work: () => void) => Promise<unknown>;
    jest.spyOn(root, 'transaction').mockImplementationOnce((async (work: () => void) => {
      await transaction(() => {
        const tables = [environment.table('test'), environment.table('commits')];
        const before = tables.map((table) => [...table.entries()]);
        work();
        for (const [i, table] of tables.entries()) {
          for (const key of [...table.keys()]) table.remove(key);
          for (const { key, value } of before[i]!) table.put(key, value);
        }
      });
      await until();
    }) as typeof root.transaction);
  };

  it('rejects the writes even if lmdb says that they are committed', async () => {
    await put(LATER);
    loseNext(async () => undefined);
    await expect(put(KEY)).rejects.toThrow(RetryableError);
    expect([has(KEY), has(LATER)]).toEqual([false, true]);
    await put(KEY);
    expect(has(KEY)).toBe(true);
  });

  it('rejects the writes even if a later transaction is committed before lmdb says so', async () => {
    loseNext(async () => {
      await put(LATER);
      await put(LATER);
    });
    await expect(put(KEY)).rejects.toThrow(/cannot be written: a commit is lost/);
    expect([has(KEY), has(LATER)]).toEqual([false, true]);
  });

  it('rejects the writes even if lmdb never tells the cause', async () => {
    const failed = Object.assign(new Error('Commit failed'), { commitError: new Promise(() => {}) });
    const root = environment['root'];
    jest.spyOn(root, 'transaction').mockImplementationOnce((async (work: () => void) => {
      await turn();
      environment['works'].length = 0;
      work();
      throw failed;
    }) as typeof root.transaction);
    await expect(put(KEY)).rejects.toThrow(/cannot be written: Commit failed/);
  });
});

describe('an embedded database that is closed right after a write', () => {
  // The guards are the waits of close(): lmdb's timer would find the environment closed, and throw where nobody catches it.
  it('leaves no timer of lmdb behind', async () => {
    const directory = temporaryDirectory();
    for (let i = 0; i < 10; i++) {
      const environment = await Environment.open(directory.path);
      const written = environment.write(() => environment.table('test').put(KEY, VALUE));
      await environment.close();
      await written;
      await sleep(5);
    }
    directory.remove();
  });
});

describe('an embedded database that is closed after its last commit has failed', () => {
  // The guard is the empty transaction of close(). Without it the process ends, because it waits for nothing that can come.
  it('is closed', async () => {
    const directory = temporaryDirectory();
    const child = ['--import', 'tsx', 'test/embedded/full-disk-child.ts', directory.path];
    const { stdout } = await promisify(execFile)(process.execPath, child, { cwd: join(__dirname, '../..') });
    expect(stdout).toBe('failed\nclosed\n');
    directory.remove();
  });
});
