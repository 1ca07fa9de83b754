import { setTimeout as sleep } from 'node:timers/promises';
import { parseServiceUrl } from '../../src/config/url';
import type { QueueBackend } from '../../src/lanes/backend';
import { RedisQueue } from '../../src/lanes/redis';
import { withBackends } from '../support/backends';
import { embeddedQueue } from '../support/embedded-queue';

function fail(error: Error): never {
  throw error;
}

/** Each process sees what any has set. */
function manyValues(open: () => QueueBackend): void {
  it('keeps many values for a while', async () => {
    const [one, other] = [open(), open()];
    await one.prepare();
    await other.prepare();
    const name = `many-${process.pid}-${Date.now()}`;
    const [a, b, special, short] = ['a', 'b', 'ü:{}*', 'short'].map((key) => `${name}/${key}`) as [string, string, string, string];
    await one.state.setAll([{ key: a, value: 'first' }, { key: a, value: 'last' }, { key: special, value: '' }], 60_000);
    await one.state.setAll([{ key: short, value: 'x' }], 50);
    expect(await other.state.getAll([a, b, special])).toEqual(new Map([[a, 'last'], [special, '']]));
    expect(await other.state.get(a)).toBe('last');
    await sleep(60);
    expect(await other.state.getAll([short])).toEqual(new Map());
    expect(await other.state.getAll([])).toEqual(new Map());
    await other.state.setAll([{ key: short, value: 'y' }, { key: a, value: 'other' }], 60_000);
    expect(await one.state.getAll([short, a])).toEqual(new Map([[short, 'y'], [a, 'other']]));
    await one.state.setAll([], 60_000);
    await one.close();
    await other.close();
  });
}

describe('on the embedded queue', () => manyValues(embeddedQueue()));

describe.each(['redis', 'redis-cluster'] as const)('on %s', (name) => {
  withBackends([name], (urls) => {
    manyValues(() => new RedisQueue({ url: parseServiceUrl(urls[name], [name === 'redis' ? 'redis' : 'redis+cluster']), onError: fail }));
  });
});
