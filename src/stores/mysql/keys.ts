import { createHash } from 'node:crypto';

/**
 * The value of the generated columns client_key and topic_hash. Client ids and topics are too long for a unique index.
 */
export const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
