import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { withProgram } from '../support/backends';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';

const ROOT = resolve(__dirname, '../..');
const NAME = 'emqx-offline-store.service';
const text = readFileSync(join(ROOT, 'deploy/systemd', NAME), 'utf8');

/** Values of a key of the section [Service]. */
const values = (key: string): string[] => [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);

describe('the systemd unit', () => {
  it('runs the program where docs/install.md installs it, with its settings and a directory of its own', () => {
    const install = readFileSync(join(ROOT, 'docs/install.md'), 'utf8');
    const [, program = '', prefix = ''] =
      /^ExecStart=(\S+) (\S+)\/node_modules\/emqx-offline-store\/dist\/main\.js serve$/m.exec(text) ?? [];
    expect(program).toBe('/usr/bin/node');
    expect(install).toContain(`--prefix ${prefix} `);
    expect(install).toContain(values('EnvironmentFile')[0]);
    const [directory = ''] = values('StateDirectory');
    expect(values('Environment')).toEqual(['NODE_ENV=production', `DATA_DIR=/var/lib/${directory}`]);
    expect(values('DynamicUser')).toEqual(['yes']);
    expect(values('ProtectSystem')).toEqual(['strict']);
  });

  it('is not restarted after wrong settings or a wrong command', async () => {
    const codes = values('RestartPreventExitStatus')[0]?.split(' ').map(Number);
    const wrongSettings = await ServerProcess.run({ STORE_URL: 'oracle://x' }, 'serve');
    const wrongCommand = await ServerProcess.run({}, 'sreve');
    expect([await wrongSettings.exitCode, await wrongCommand.exitCode]).toEqual(codes);
    expect(values('Restart')).toEqual(['on-failure']);
  });

  withProgram(
    'systemd-analyze',
    () => {
      it('is valid and safe according to systemd-analyze', () => {
        const directory = temporaryDirectory();
        try {
          const file = join(directory.path, NAME);
          writeFileSync(file, text.replace('/usr/bin/node', process.execPath));
          const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
          const verified = analyze('verify', '--man=no', file);
          const told = verified.stderr.split('\n').filter((line) => line.includes(NAME));
          expect([verified.status, told]).toEqual([0, []]);
          // 0 is safest, 10 open; of most services it is over 9.
          expect(analyze('security', '--offline=true', '--threshold=25', '--no-pager', file).status).toBe(0);
        } finally {
          directory.remove();
        }
      });
    },
    ['systemd-analyze', '--version'],
  );
});
