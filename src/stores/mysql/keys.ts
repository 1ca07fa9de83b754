import { createHash } from 'node:crypto';

/** What the generated columns client_key and topic_hash hold: client ids and topics are too long for a unique index. */
export const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
