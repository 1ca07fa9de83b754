import { EventLag } from '../../src/mailbox/event-lag';

/** Our clock is an hour ahead of EMQX's. */
const SKEW = 3_600_000;
const lagging = (lags: readonly [now: number, lag: number][]): EventLag => {
  const lag = new EventLag();
  for (const [now, ms] of lags) lag.note(now - ms - SKEW, now);
  return lag;
};

it('the event lag is the delay above the fastest event, with any difference of clocks', () => {
  const lag = lagging([
    [1_000, 5],
    [2_000, 20],
    [3_000, 2_005],
  ]);
  expect(lag.current(3_000)).toBe(2_000);
});

it('the event lag falls after two seconds without late events', () => {
  const lag = lagging([
    [1_000, 5],
    [2_000, 2_005],
    [3_100, 6],
    [4_200, 5],
  ]);
  expect(lag.current(4_200)).toBe(1);
});

it('the event lag without events is 0', () => {
  expect(new EventLag().current(1)).toBe(0);
});
