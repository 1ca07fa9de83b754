import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '../support/wait';
import { Purges } from './purges';
import { QUICK_PURGE } from './quick-purge';

describe('the purge during chaos rounds', () => {
  it('is noticed when the oldest message changes', async () => {
    let id = 'm1';
    let requests = 0;
    const api = createServer((_request, response) => {
      requests++;
      response.end(JSON.stringify({ messages: [{ id }] }));
    });
    await once(api.listen(0, '127.0.0.1'), 'listening');
    let seen = 0;
    const purges = new Purges(`http://127.0.0.1:${(api.address() as AddressInfo).port}`, () => seen++);
    purges.start();
    // The first answer has been read when the second request comes.
    await waitFor('two requests', () => requests > 1);
    const before = seen;
    id = 'm2';
    await waitFor('the change', () => seen > 0);
    purges.stop();
    api.closeAllConnections();
    api.close();
    expect([before, seen]).toEqual([0, 1]);
  });

  it('runs every few seconds, and other timers keep their time', () => {
    const script = `const from = Date.now(); const timer = setInterval(() => { clearInterval(timer); console.log('minute', Date.now() - from < 30000); }, 60000); timer.unref(); timer.ref(); setTimeout(() => console.log('other', Date.now() - from < 3000), 100);`;
    const { stdout } = spawnSync(process.execPath, [...QUICK_PURGE, '-e', script], { timeout: 40_000 });
    expect(stdout.toString().trim().split('\n')).toEqual(['other true', 'minute true']);
  });
});
