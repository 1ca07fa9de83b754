import { afterAsking, afterEvent, isOff } from '../../src/mailbox/clients/wish';

const NOW = 5_000;
const asked = { qos: 1, since: 10, until: NOW } as const;
const own = (qos: 0 | 1 | 2 | null, at: number) => afterEvent(null, { qos, at }, NOW);

describe('the event of a subscription that we asked for', () => {
  it('is not the client’s wish, however often it comes', () => {
    const once = afterEvent(afterAsking(own(1, 5), asked), { qos: 1, at: 11 }, NOW);
    expect(once).toEqual({ wanted: { qos: 1, at: 5 }, made: { qos: 1, at: 11 }, asked: null });
    expect(afterEvent(once, { qos: 1, at: 11 }, NOW)).toEqual(once);
  });

  it.each([
    ['an older one', { qos: 1, at: 9 }, NOW],
    ['another QoS', { qos: 2, at: 11 }, NOW],
    ['an unsubscribe', { qos: null, at: 11 }, NOW],
    ['one that comes when EMQX must have lost ours', { qos: 1, at: 11 }, NOW + 1],
  ] as const)('is not %s', (_, event, now) => {
    expect(afterEvent(afterAsking(own(1, 5), asked), event, now)).toMatchObject({ wanted: event, asked });
  });
});

it('an event that comes late changes nothing; of two in one millisecond the second to come counts', () => {
  expect(afterEvent(own(1, 5), { qos: null, at: 4 }, NOW)).toEqual(own(1, 5));
  expect(afterEvent(own(1, 5), { qos: null, at: 5 }, NOW)).toEqual(own(null, 5));
});

it('what differs from the wish is put right when no event of ours is on its way', () => {
  const waiting = afterEvent(afterAsking(own(1, 5), asked), { qos: null, at: 6 }, NOW);
  expect([isOff(own(1, 5), NOW), isOff(waiting, NOW)]).toEqual([false, false]);
  expect(isOff(afterEvent(waiting, { qos: 1, at: 11 }, NOW), NOW)).toBe(true);
});
