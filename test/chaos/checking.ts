import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { audienceOf } from './audience';
import { Cast } from './cast';
import type { FaultBetween, Side } from './causes';
import { Checker } from './checker';
import { ORDINARY } from './groups';
import { payloadOf } from './message';

/** For tests of the checker: everybody takes part, and events are accepted at once. */
export const NO_FAULT: FaultBetween = () => new Set();
export const faultOf =
  (side: Side): FaultBetween =>
  () =>
    new Set([side]);

export function newChecker(mode: 'queue' | 'pubsub', { faultBetween = NO_FAULT, isInbox = false } = {}): Checker {
  return new Checker(audienceOf(mode, Cast.of({ kinds: ORDINARY, groups: 1, hostile: true, busy: true, isInbox })), faultBetween);
}

export function publish(checker: Checker, topic: string, sequence: number): Buffer {
  const payload = Buffer.from(payloadOf({ publisher: 'p', topic, sequence }));
  checker.willPublish({ publisher: 'p', topic, sequence });
  const event = { event: 'message.publish', id: `m${sequence}`, clientid: 'p', topic, payload };
  checker.fired(event);
  checker.answered(event, 202);
  return payload;
}

export function acknowledge(checker: Checker, clientid: string, sequence: number): void {
  const event = { event: 'message.acked', id: 'another', clientid, pub_props: { 'User-Property': { [MSGID_PROPERTY]: `m${sequence}` } } };
  checker.fired(event);
  checker.answered(event, 202);
}

export function subscribe(checker: Checker, clientid: string, topic: string): void {
  const event = { event: 'session.subscribed', clientid, topic };
  checker.fired(event);
  checker.answered(event, 202);
}

export function receive(checker: Checker, subscriber: string, topic: string, payload: Buffer, ours: boolean, connection = 1): void {
  checker.received({ subscriber, connection, topic, payload, ours });
}
