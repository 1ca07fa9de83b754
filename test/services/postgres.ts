import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asUser, prepareDirectory, startProcess, type Service } from './service';

const PORT = 18432;
const PASSWORD = 'postgres';
const USER = 'postgres';

/** Debian's postgresql package. */
export const postgres: Service = {
  name: 'postgres',
  variables: { TEST_POSTGRES_URL: `postgres://${USER}:${PASSWORD}@127.0.0.1:${PORT}/postgres` },
  async start(directory) {
    const bin = newestBin();
    const data = join(prepareDirectory(directory, 'postgres'), 'data');
    if (!existsSync(data)) initialize(bin, directory, data);
    const args = ['-D', data, '-p', String(PORT), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'max_connections=300'];
    await startProcess(directory, { name: 'postgres', command: join(bin, 'postgres'), args, port: PORT, user: USER });
  },
};

function newestBin(): string {
  const root = '/usr/lib/postgresql';
  const version = readdirSync(root).sort((a, b) => Number(b) - Number(a))[0];
  return join(root, version ?? '', 'bin');
}

function initialize(bin: string, directory: string, data: string): void {
  const passwordFile = join(directory, 'postgres', 'password');
  writeFileSync(passwordFile, PASSWORD);
  chmodSync(join(directory, 'postgres'), 0o777);
  const args = ['-D', data, '-U', USER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C.UTF-8'];
  const [command, all] = asUser(USER, join(bin, 'initdb'), args);
  execFileSync(command, all, { stdio: 'ignore' });
}
