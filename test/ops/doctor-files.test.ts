import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger } from '../../src/base/log';
import type { Config } from '../../src/config/config';
import { loadConfig } from '../../src/config/load';
import { diagnose, lineOf } from '../../src/doctor';
import { checkFiles } from '../../src/doctor/files';
import type { Environment } from '../../src/embedded/environment';
import { temporaryEnvironment } from '../support/environment';
import { temporaryDirectory } from '../support/temp';

async function diagnosed(config: Config): Promise<string[]> {
  const lines: string[] = [];
  for await (const finding of diagnose(config, createLogger({ level: 'silent' }))) lines.push(lineOf(finding));
  return lines;
}

describe("the doctor's check of the embedded files", () => {
  const { path, get } = temporaryEnvironment();

  const lines = async (free: number, total: number, open: Environment | null = get()) =>
    (await checkFiles(path, open, async () => ({ free, total }))).map(lineOf);

  it('shows their size, and their free space when no process has them open', async () => {
    const environment = get();
    const table = environment.table('large');
    const keys = Array.from({ length: 5_000 }, (_, i) => Buffer.from(String(i)));
    await environment.write(() => keys.forEach((key) => table.put(key, Buffer.alloc(1_500))));
    const full = environment.size();
    expect(full.file).toBeGreaterThan(keys.length * 1_500);
    expect(full.free).toBeLessThan(full.file / 4);
    await environment.write(() => keys.forEach((key) => table.remove(key)));
    const empty = environment.size();
    expect(empty.free).toBeGreaterThan(keys.length * 1_500);
    expect(empty.free).toBeLessThan(empty.file);

    expect(await lines(50e9, 100e9)).toEqual([
      expect.stringMatching(/^ok {7}embedded: data\.mdb has \d+\.\d MB, \d+\.\d MB of it free for new data$/),
      'ok       disk: the disk of DATA_DIR has 50.0 GB free (50 %)',
    ]);
    expect(await lines(50e9, 100e9, null)).toContainEqual(expect.stringMatching(/^ok {7}embedded: data\.mdb has \d+\.\d MB$/));
  });

  it.each([
    [199e6, 1e9, '199.0 MB free (19 %)'],
    [4.9e9, 100e9, '4.9 GB free (4 %)'],
    [0, 100e9, '0.0 MB free (0 %)'],
  ])('finds a disk that is nearly full: %d of %d', async (free, total, text) => {
    expect(await lines(free, total)).toContainEqual(
      expect.stringMatching(
        `^problem  disk: the disk of DATA_DIR has ${text.replace(/[()]/g, '\\$&')}: when it is full, .* → free space on it`,
      ),
    );
  });

  it('has no finding about a disk with enough room', async () => {
    expect(await lines(200e6, 4e9)).toContain('ok       disk: the disk of DATA_DIR has 200.0 MB free (5 %)');
  });

  it('explains what to do about a database of an earlier version', async () => {
    const old = temporaryDirectory();
    writeFileSync(join(old.path, 'PG_VERSION'), '17');
    const config = loadConfig({ DATA_DIR: old.path });
    const found = await diagnosed(config);
    old.remove();
    expect(found).toContainEqual(
      expect.stringMatching(
        /^problem  embedded: .* has a database of an earlier version of this server, which used PostgreSQL → choose another directory/,
      ),
    );
    expect(found.filter((line) => line.includes('embedded'))).toHaveLength(1);
  });

  it('explains why it cannot use a directory', async () => {
    const file = join(path, 'file');
    writeFileSync(file, '');
    const found = await diagnosed(loadConfig({ DATA_DIR: file, PORT: '1' }));
    expect(found).toContainEqual(expect.stringMatching(/^problem  embedded: DATA_DIR: /));
  });
});
