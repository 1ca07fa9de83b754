import { setTimeout as sleep } from 'node:timers/promises';
import { parseServiceUrl } from '../../src/config/url';
import type { QueueBackend } from '../../src/queue/backend';
import { RedisQueue } from '../../src/queue/redis';
import { withBackends } from '../support/backends';
import { embeddedQueue } from '../support/embedded-queue';

function fail(error: Error): never {
  throw error;
}

/** Each process sees what any has marked. */
function marks(open: () => QueueBackend): void {
  it('remembers keys for a while', async () => {
    const [one, other] = [open(), open()];
    await one.prepare();
    await other.prepare();
    const name = `marks-${process.pid}-${Date.now()}`;
    await one.state.mark([`${name}/a`, `${name}/a`, `${name}/ü:{}*`], 60_000);
    await one.state.mark([`${name}/short`], 50);
    expect(await other.state.marked([`${name}/a`, `${name}/b`, `${name}/ü:{}*`])).toEqual(new Set([`${name}/a`, `${name}/ü:{}*`]));
    await sleep(60);
    expect(await other.state.marked([`${name}/short`])).toEqual(new Set());
    expect(await other.state.marked([])).toEqual(new Set());
    await other.state.mark([`${name}/short`], 60_000);
    expect(await one.state.marked([`${name}/short`])).toEqual(new Set([`${name}/short`]));
    await one.close();
    await other.close();
  });
}

describe('on the embedded queue', () => marks(embeddedQueue()));

describe.each(['redis', 'redis-cluster'] as const)('on %s', (name) => {
  withBackends([name], (urls) => {
    marks(() => new RedisQueue({ url: parseServiceUrl(urls[name], [name === 'redis' ? 'redis' : 'redis+cluster']), onError: fail }));
  });
});
