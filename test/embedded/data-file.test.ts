import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Environment } from '../../src/embedded/environment';
import { prepareDataFile } from '../../src/embedded/data-file';
import { temporaryDirectory } from '../support/temp';

const PAGE = 4096;
const REFUSAL = 'the file is damaged or is not a database of this server';

describe('a data file', () => {
  const directory = temporaryDirectory();
  const path = join(directory.path, 'data.mdb');
  afterAll(() => directory.remove());

  /** One with an entry. */
  async function whole(): Promise<Buffer> {
    const { path: other, remove } = temporaryDirectory();
    const environment = await Environment.open(other);
    await environment.durably(() => environment.table('entries').put(Buffer.from('key'), Buffer.alloc(2 * PAGE)));
    await environment.close();
    const bytes = readFileSync(join(other, 'data.mdb'));
    remove();
    return bytes;
  }

  it('is left unchanged when LMDB can open it', async () => {
    expect(() => prepareDataFile(path)).not.toThrow();
    for (const bytes of [Buffer.alloc(0), await whole()]) {
      writeFileSync(path, bytes);
      prepareDataFile(path);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }
  });

  it('is deleted when the power failed during its creation', async () => {
    const beginning = (await whole()).subarray(0, 2 * PAGE);
    beginning.fill(0, PAGE / 2, PAGE);
    const zeros = Buffer.alloc(PAGE);
    for (const bytes of [
      zeros,
      Buffer.alloc(3 * PAGE),
      beginning,
      beginning.subarray(0, 512),
      beginning.subarray(0, PAGE),
      Buffer.concat([zeros, beginning.subarray(PAGE)]),
    ]) {
      writeFileSync(path, bytes);
      prepareDataFile(path);
      expect(existsSync(path)).toBe(false);
    }
  });

  it('is rejected and kept when it is damaged or no LMDB file', async () => {
    const lost = await whole();
    lost.fill(0, 0, PAGE);
    for (const bytes of [Buffer.from('a text'), Buffer.alloc(10 * PAGE, 7), Buffer.alloc(4 * PAGE), lost]) {
      writeFileSync(path, bytes);
      await expect(Environment.open(directory.path)).rejects.toThrow(
        `DATA_DIR: ${path} cannot be opened (${REFUSAL}): restore a backup of it or choose another directory`,
      );
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }
  });
});
