/** What the publishers send, so that every message says which it is. */
export interface Identity {
  readonly publisher: string;
  readonly topic: string;
  /** Of the publisher in the topic, from 0. */
  readonly sequence: number;
}

export function payloadOf({ publisher, topic, sequence }: Identity): string {
  return JSON.stringify([publisher, topic, sequence]);
}

export function identityOf(payload: Buffer): Identity {
  const [publisher, topic, sequence] = JSON.parse(payload.toString()) as [string, string, number];
  return { publisher, topic, sequence };
}

/** What keeps its order: a publisher's messages in a topic. */
export const streamOf = ({ publisher, topic }: Identity): string => `${publisher} ${topic}`;
export const keyOf = (identity: Identity): string => `${streamOf(identity)} ${identity.sequence}`;
