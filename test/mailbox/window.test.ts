import { acknowledged, EMPTY, hasSentBefore, isEmpty, sent, subscribed, wantsMore } from '../../src/mailbox/deliver/window';

const request = (at: number, filter = 't/1') => ({ clientid: 'c', filter, qos: 1 as const, at });

describe('the window of a client', () => {
  it('starts a run at the beginning of the filter for each subscription', () => {
    const { window } = subscribed(EMPTY, request(1), 0);
    expect(window.runs).toEqual([{ ...request(1), topic: '', id: '', sent: 0, window: 1, leaveRetained: false }]);
  });

  // Promise 9. The guard is the tolerance: with 0 in Deliverer.subscribed the second subscription sends again.
  it('counts on what it sent a moment before the subscription', () => {
    const { window, lost } = subscribed(sent(EMPTY, ['a'], 1_000), request(1_500), 2_000);
    expect(lost).toEqual([]);
    expect(window.inFlight).toEqual({ a: 1_000 });
  });

  it('gives up what it sent long before the subscription', () => {
    const { window, lost } = subscribed(sent(sent(EMPTY, ['old'], 1_000), ['new'], 4_000), request(5_000), 2_000);
    expect(lost).toEqual(['old']);
    expect(window.inFlight).toEqual({ new: 4_000 });
  });

  it('has one run for a filter, which a late recheck does not shorten', () => {
    const first = subscribed(EMPTY, request(5_000), 0).window;
    const { window } = subscribed(first, request(1_000), 0);
    expect(window.runs).toHaveLength(1);
    expect(window.runs[0]?.at).toBe(5_000);
  });

  it('wants more when half of it is acknowledged', () => {
    const run = { ...request(1), topic: 't/1', id: 'b', sent: 4, window: 4, leaveRetained: false };
    const full = { ...sent(EMPTY, ['a', 'b', 'c', 'd'], 1), runs: [run] };
    expect(wantsMore(full)).toBe(false);
    expect(wantsMore(acknowledged(full, ['a']))).toBe(false);
    expect(wantsMore(acknowledged(full, ['a', 'b', 'unknown']))).toBe(true);
  });

  it('is empty when all is sent and acknowledged', () => {
    const window = sent(EMPTY, ['a'], 1);
    expect(hasSentBefore(window, 2)).toBe(true);
    expect(isEmpty(window)).toBe(false);
    expect(isEmpty(acknowledged(window, ['a']))).toBe(true);
  });
});
