import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Environment } from '../../src/embedded/environment';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';

const numbered = (i: number): Buffer => Buffer.from(String(i).padStart(8, '0'));

describe('emqx-offline-store backup', () => {
  const directory = temporaryDirectory();
  const data = join(directory.path, 'data');
  const copy = join(directory.path, 'copy.mdb');
  let environment: Environment;
  beforeAll(async () => {
    environment = await Environment.open(data);
  });
  afterAll(async () => {
    await environment.close();
    directory.remove();
  });

  const backup = async (from: string, to: string): Promise<{ code: number | null; output: string }> => {
    const command = await ServerProcess.run({ DATA_DIR: from }, 'backup', to);
    return { code: await command.exitCode, output: command.output };
  };

  it('copies a consistent database while another process writes', async () => {
    const [first, second] = [environment.table('first'), environment.table('second')];
    let [written, isOver] = [0, false];
    const writing = (async () => {
      for (; !isOver; written++) {
        // Both tables have the same keys after each transaction.
        await environment.write(() => {
          first.put(numbered(written), Buffer.alloc(500));
          second.put(numbered(written), Buffer.alloc(500));
        });
      }
    })();
    const { code } = await backup(data, copy);
    isOver = true;
    await writing;
    expect(code).toBe(0);

    const restored = join(directory.path, 'restored');
    mkdirSync(restored);
    renameSync(copy, join(restored, 'data.mdb'));
    const other = await Environment.open(restored);
    const keys = (name: string): string[] => Array.from(other.table(name).entries(), ({ key }) => key.toString());
    expect(keys('first')).toEqual(Array.from(keys('first'), (_, i) => numbered(i).toString()));
    expect(keys('second')).toEqual(keys('first'));
    expect(keys('first').length).toBeGreaterThan(0);
    expect(keys('first').length).toBeLessThanOrEqual(written);
    await other.close();
  }, 60_000);

  it('refuses to overwrite a file, and reports a missing database', async () => {
    const overwriting = await backup(data, join(data, 'data.mdb'));
    expect([overwriting.code, overwriting.output]).toEqual([78, expect.stringContaining('name a file that does not exist yet')]);
    const nothing = await backup(join(directory.path, 'nothing'), copy);
    expect([nothing.code, nothing.output]).toEqual([78, expect.stringContaining('name the directory that the server uses')]);
  }, 60_000);
});
