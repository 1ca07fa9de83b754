import { apt } from './debian';
import { run } from './run';
import type { Service } from './service';

/** Not a server: the tests have it check the unit in deploy/systemd. */
export const systemdAnalyze: Service = {
  name: 'systemd-analyze',
  variables: {},
  install: () => apt('systemd'),
  start: () => Promise.resolve(),
  async check() {
    await run('systemd-analyze', ['--version']);
  },
};
