import { afterAsking, afterEvent, isOff } from '../../src/mailbox/clients/wish';

const NOW = 5_000;
const asked = { qos: 1, since: 10, until: NOW } as const;
const own = (qos: 0 | 1 | 2 | null, at: number) => afterEvent(null, { qos, at }, NOW);

describe('the event of a subscription that the server requested', () => {
  it("is not taken for the client's own subscription, however often it arrives", () => {
    const once = afterEvent(afterAsking(own(1, 5), asked), { qos: 1, at: 11 }, NOW);
    expect(once).toEqual({ wanted: { qos: 1, at: 5 }, made: { qos: 1, at: 11 }, asked: null });
    expect(afterEvent(once, { qos: 1, at: 11 }, NOW)).toEqual(once);
  });

  it.each([
    ['an older event', { qos: 1, at: 9 }, NOW],
    ['an event with another QoS', { qos: 2, at: 11 }, NOW],
    ['an unsubscribe event', { qos: null, at: 11 }, NOW],
    ["an event that arrives after the server's request has timed out", { qos: 1, at: 11 }, NOW + 1],
  ] as const)('is not assumed for %s', (_, event, now) => {
    expect(afterEvent(afterAsking(own(1, 5), asked), event, now)).toMatchObject({ wanted: event, asked });
  });
});

it('an older subscription event changes nothing; of two at one time the later counts', () => {
  expect(afterEvent(own(1, 5), { qos: null, at: 4 }, NOW)).toEqual(own(1, 5));
  expect(afterEvent(own(1, 5), { qos: null, at: 5 }, NOW)).toEqual(own(null, 5));
});

it("a wrong subscription is corrected when no event of the server's request is pending", () => {
  const waiting = afterEvent(afterAsking(own(1, 5), asked), { qos: null, at: 6 }, NOW);
  expect([isOff(own(1, 5), NOW), isOff(waiting, NOW)]).toEqual([false, false]);
  expect(isOff(afterEvent(waiting, { qos: 1, at: 11 }, NOW), NOW)).toBe(true);
});
