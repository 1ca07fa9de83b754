import { apt } from './debian';
import { run } from './run';
import type { Service } from './service';

/** Not a server: the tests run it themselves, to see what a process writes to the disk. */
export const strace: Service = {
  name: 'strace',
  variables: {},
  install: () => apt('strace'),
  start: () => Promise.resolve(),
  async check() {
    await run('strace', ['true']);
  },
};
