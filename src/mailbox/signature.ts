import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Mark } from '../events/event';

/** The user properties that mark a message as a copy that the server published. Applications may use the first one. */
export const MSGID_PROPERTY = 'offline-msgid';
export const SIGNATURE_PROPERTY = 'offline-sig';

export const newSigningKey = (): string => randomBytes(32).toString('base64url');

/**
 * What a mark tells besides the message's id. `mailbox` is the key of the mailbox that the copy was sent for. `kind`
 * tells who may acknowledge it:
 * - `own`: only the mailbox's client.
 * - `member`: any member of the group, because EMQX gives the copy to any member (a shared subscription in queue mode).
 * - `group`: any member, for a group's mailbox in pubsub mode.
 * - `retained`: nobody, because it was published back as the topic's retained message.
 */
export interface Address {
  readonly mailbox: string;
  readonly kind: 'own' | 'member' | 'group' | 'retained';
}

export interface VerifiedMark extends Address {
  /** The id of the stored message. */
  readonly id: string;
}

const LETTERS = { own: 'o', member: 'm', group: 'g', retained: 'r' } as const;
const KINDS = new Map<string, Address['kind']>(Object.entries(LETTERS).map(([kind, letter]) => [letter, kind as Address['kind']]));
const SIGNATURE = /^([A-Za-z0-9_-]{43})([omgr])([A-Za-z0-9_-]{0,64})$/;

/**
 * Signs and verifies marks. Any MQTT client can publish a mark, or copy a real one to another topic. The signature
 * covers the message's id, the topic that it is published to and the mailbox, so a mark counts only where all three are
 * right (promises 18 and 24).
 */
export class Signer {
  constructor(private readonly key: string) {}

  /** @param topic the topic that EMQX publishes to; for an inbox the inbox topic. */
  sign(id: string, topic: string, { mailbox, kind }: Address): string {
    return `${this.hmac(id, topic, mailbox, kind)}${LETTERS[kind]}${mailbox}`;
  }

  /** null if the mark is absent or forged, or belongs to another installation or another topic. */
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
