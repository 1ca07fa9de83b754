import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Purges } from './purges';
import { QUICK_PURGE } from './quick-purge';

describe('the purge during chaos rounds', () => {
  it('is noticed when the oldest message changes', async () => {
    let id = 'm1';
    const api = createServer((_request, response) => response.end(JSON.stringify({ messages: [{ id }] })));
    await once(api.listen(0, '127.0.0.1'), 'listening');
    let seen = 0;
    const purges = new Purges(`http://127.0.0.1:${(api.address() as AddressInfo).port}`, () => seen++);
    purges.start();
    await sleep(300);
    const before = seen;
    id = 'm2';
    for (const end = Date.now() + 5_000; seen === 0 && Date.now() < end;) await sleep(20);
    purges.stop();
    api.closeAllConnections();
    api.close();
    expect([before, seen]).toEqual([0, 1]);
  });

  it('runs every few seconds, and other timers keep their time', () => {
    const script = `const from = Date.now(); const timer = setInterval(() => { clearInterval(timer); console.log('minute', Date.now() - from < 10000); }, 60000); timer.unref(); timer.ref(); setTimeout(() => console.log('other', Date.now() - from < 1000), 100);`;
    const { stdout } = spawnSync(process.execPath, [...QUICK_PURGE, '-e', script], { timeout: 20_000 });
    expect(stdout.toString().trim().split('\n')).toEqual(['other true', 'minute true']);
  }, 30_000);
});
