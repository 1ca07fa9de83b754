import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Mark } from '../events/event';

/** The user properties that mark a message as a delivery of ours. Applications may use the first. */
export const MSGID_PROPERTY = 'offline-msgid';
export const SIGNATURE_PROPERTY = 'offline-sig';

export const newSigningKey = (): string => randomBytes(32).toString('base64url');

/** Any MQTT client can publish a mark; only one with our signature of its id is believed (promise 18). */
export class Signer {
  constructor(private readonly key: string) {}

  sign(id: string): string {
    return createHmac('sha256', this.key).update(id).digest('base64url');
  }

  /** The id of the stored message, or null for a mark that is absent, forged or of another installation. */
  verified(mark: Mark | null): string | null {
    if (mark === null) return null;
    const expected = Buffer.from(this.sign(mark.id));
    const given = Buffer.from(mark.signature);
    return given.length === expected.length && timingSafeEqual(given, expected) ? mark.id : null;
  }
}
