import { apt } from './debian';
import { run } from './run';
import type { Service } from './service';

/** Not a server: the tests of the console run it themselves. */
export const chromium: Service = {
  name: 'chromium',
  variables: {},
  install: () => apt('chromium'),
  start: () => Promise.resolve(),
  async check() {
    await run('chromium', ['--version']);
  },
};
