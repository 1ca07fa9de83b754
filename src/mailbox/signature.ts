import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Mark } from '../events/event';

/** The user properties that mark a message as a delivery of ours. Applications may use the first. */
export const MSGID_PROPERTY = 'offline-msgid';
export const SIGNATURE_PROPERTY = 'offline-sig';

export const newSigningKey = (): string => randomBytes(32).toString('base64url');

/**
 * What a mark says beside the message's id. `mailbox`: the key of the mailbox that it was sent for; `kind`: `own` (the mailbox's client alone may
 * acknowledge it there), `member` (a shared subscription in queue mode: EMQX gives it to any member), `group` (a group's mailbox in pubsub mode), `retained`
 * (published back as the topic's retained message, for nobody).
 */
export interface Address {
  readonly mailbox: string;
  readonly kind: 'own' | 'member' | 'group' | 'retained';
}

export interface VerifiedMark extends Address {
  /** Of the stored message. */
  readonly id: string;
}

const LETTERS = { own: 'o', member: 'm', group: 'g', retained: 'r' } as const;
const KINDS = new Map<string, Address['kind']>(Object.entries(LETTERS).map(([kind, letter]) => [letter, kind as Address['kind']]));
const SIGNATURE = /^([A-Za-z0-9_-]{43})([omgr])([A-Za-z0-9_-]{0,64})$/;

/**
 * Any MQTT client can publish a mark, or carry one of ours to another topic. The signature is made of the message's id, the topic that it is published to
 * and the mailbox: only where all three are right is a mark believed (promises 18 and 24).
 */
export class Signer {
  constructor(private readonly key: string) {}

  /** @param topic as EMQX publishes it: of an inbox, the inbox's. */
  sign(id: string, topic: string, { mailbox, kind }: Address): string {
    return `${this.hmac(id, topic, mailbox, kind)}${LETTERS[kind]}${mailbox}`;
  }

  /** null for a mark that is absent, forged, of another installation or of another topic. */
  verified(mark: Mark | null, topic: string): VerifiedMark | null {
    const [, hmac = '', letter = '', mailbox = ''] = SIGNATURE.exec(mark?.signature ?? '') ?? [];
    const kind = KINDS.get(letter);
    if (mark === null || kind === undefined) return null;
    const expected = Buffer.from(this.hmac(mark.id, topic, mailbox, kind));
    return timingSafeEqual(expected, Buffer.from(hmac)) ? { id: mark.id, mailbox, kind } : null;
  }

  private hmac(id: string, topic: string, mailbox: string, kind: Address['kind']): string {
    return createHmac('sha256', this.key).update(`${id}\n${kind}\n${mailbox}\n${topic}`).digest('base64url');
  }
}
