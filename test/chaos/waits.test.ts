import type { Checker } from './checker';
import { faultOf, newChecker, NO_FAULT, publish } from './checking';
import { Waits } from './waits';

describe('the measured wait for a stored message', () => {
  const recordsOf = (checker: Checker) => [...checker.openIn('t/g0-0/a')];

  it('is reported while it lasts', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    waits.subscribes('g0-0-0', recordsOf(checker), -1, 0);
    expect([waits.longerThan(2_000, 1_000), waits.longerThan(2_000, 3_000)]).toEqual([0, 1]);
    waits.ends('g0-0-0', 3_000);
    expect(waits.longerThan(2_000, 3_000)).toBe(0);
  });

  it('begins with the subscription and ends with the first message, or when the client leaves', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    const from = performance.now();
    waits.subscribes('g0-0-0', recordsOf(checker), -1, from);
    waits.ends('g0-0-0', from + 700);
    waits.ends('g0-0-0', from + 900);
    expect(waits.all).toEqual([{ subscriber: 'g0-0-0', ms: expect.closeTo(700) }]);
  });

  it('is not measured for a subscription that follows another at once', () => {
    const checker = newChecker('queue');
    publish(checker, 't/g0-0/a', 0);
    const waits = new Waits(NO_FAULT);
    for (const at of [0, 2_000, 5_000]) {
      waits.subscribes('g0-0-0', recordsOf(checker), -1, at);
      waits.ends('g0-0-0', at + 100);
    }
    expect(waits.all).toHaveLength(2);
  });

  it('is not measured when nothing is due or a component is down', () => {
    const checker = newChecker('queue');
    const [none, broken] = [new Waits(NO_FAULT), new Waits(faultOf('emqx'))];
    const payload = publish(checker, 't/g0-0/a', 0);
    broken.subscribes('g0-0-0', recordsOf(checker), -1, performance.now());
    broken.ends('g0-0-0', performance.now());
    none.subscribes('g0-0-0', [], 0, performance.now());
    none.ends('g0-0-0', performance.now());
    // Published before the last connection ended: EMQX delivered it, or we did.
    none.subscribes('g0-0-1', recordsOf(checker), Infinity, performance.now());
    none.ends('g0-0-1', performance.now());
    checker.sent('t/g0-0/a', payload);
    none.subscribes('g0-0-2', recordsOf(checker), -1, performance.now());
    none.ends('g0-0-2', performance.now());
    expect([...none.all, ...broken.all]).toEqual([]);
  });
});
