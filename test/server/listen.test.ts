import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { createLogger } from '../../src/base/log';
import { loadConfig } from '../../src/config/load';
import { listenError } from '../../src/server/listen-error';
import { Server } from '../../src/server/server';
import { run } from '../cli/shell';
import { temporaryDirectory } from '../support/temp';

describe('a server that cannot start', () => {
  const directory = temporaryDirectory();
  afterAll(() => directory.remove());
  const start = async (settings: Record<string, string>): Promise<never> => {
    const env = { DATA_DIR: join(directory.path, 'data'), PORT: '0', INGEST_TOKEN: 'a', ADMIN_TOKEN: 'b', ...settings };
    const server = await Server.start(loadConfig(env), createLogger({ level: 'silent' }), () => undefined);
    await server.stop();
    throw new Error('it has started');
  };

  it('names PORT when another program uses it, and releases DATA_DIR', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const told = { key: 'PORT', message: `PORT: ${port} is in use by another program; stop that program or set PORT to another port` };
    await expect(start({ PORT: String(port) })).rejects.toMatchObject(told);
    await expect(start({ PORT: String(port) })).rejects.toMatchObject(told);
    other.close();
  });

  it('names HOST when it is no address of this machine', async () => {
    // An address of the block for documentation: no machine has it.
    await expect(start({ HOST: '192.0.2.1' })).rejects.toMatchObject({
      key: 'HOST',
      message: expect.stringMatching(/^HOST: 192\.0\.2\.1 is not an address of this machine; set HOST/) as string,
    });
  });

  it.each([
    ['EACCES', 'PORT', /^PORT: this user may not listen on 80; set PORT to 1024 or higher/],
    ['ENOTFOUND', 'HOST', /^HOST: the name store\.example cannot be resolved/],
    ['EAFNOSUPPORT', 'HOST', /^HOST: this machine cannot listen on store\.example/],
  ])('translates %s to a wrong %s', (code, key, message) => {
    const error = Object.assign(new Error(code), { code });
    expect(listenError({ host: 'store.example', port: 80 }, error)).toMatchObject({
      key,
      message: expect.stringMatching(message) as string,
    });
  });

  it('keeps any other error unchanged', () => {
    const error = Object.assign(new Error('no file left'), { code: 'EMFILE' });
    expect(listenError({ host: 'h', port: 1 }, error)).toBe(error);
  });

  it('names DATA_DIR when it is a file or below one', async () => {
    const file = join(directory.path, 'file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'below')])
      await expect(start({ DATA_DIR: path })).rejects.toMatchObject({
        key: 'DATA_DIR',
        message: `DATA_DIR: ${path}, or a part of that path, is a file: set DATA_DIR to a directory`,
      });
    for (const command of [
      ['backup', join(directory.path, 'copy')],
      ['migrate', '--from', 'embedded:', '--to', 'redis://localhost'],
    ])
      expect(await run(command, { DATA_DIR: file })).toMatchObject({
        code: 78,
        stderr: expect.stringMatching(/^DATA_DIR: \S+ is a file/) as string,
      });
  });
});
