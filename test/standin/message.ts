/** A message inside the stand-in, and the GUIDs that EMQX gives them. */

export interface BrokerMessage {
  readonly id: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** "http_api" for what REST publishes. */
  readonly clientid: string;
  readonly username: string | null;
  readonly receivedAt: number;
  readonly properties: BrokerProperties;
}

/** MQTT 5 names as mqtt-packet has them. */
export interface BrokerProperties {
  readonly userProperties?: readonly { readonly key: string; readonly value: string }[];
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Buffer;
  readonly payloadFormatIndicator?: 0 | 1;
  readonly messageExpiryInterval?: number;
}

let lastMicroseconds = 0n;
let sequence = 0;

/** 64 bits of microseconds, 48 of node and process, 16 of sequence, as upper-case hex: sorting them sorts by publish time. */
export function newGuid(): string {
  const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
  lastMicroseconds = now > lastMicroseconds ? now : lastMicroseconds + 1n;
  sequence = (sequence + 1) % 0x10000;
  return `${lastMicroseconds.toString(16).padStart(16, '0')}F49A0000049C${sequence.toString(16).padStart(4, '0')}`.toUpperCase();
}

let inserted = 0n;

/** Nanoseconds, each later than the one before: EMQX pages its lists by them. */
export function nextInsertion(): bigint {
  const now = BigInt(Date.now()) * 1_000_000n;
  inserted = now > inserted ? now : inserted + 1n;
  return inserted;
}

/** EMQX looks when it takes a message out of a session's queue. */
export function isExpired({ receivedAt, properties: { messageExpiryInterval: seconds } }: BrokerMessage): boolean {
  return seconds !== undefined && Date.now() - receivedAt > seconds * 1000;
}

/** As EMQX sends it on: what is left of the expiry, at least 1 s. */
export function aged({ receivedAt, properties }: BrokerMessage): BrokerProperties {
  const { messageExpiryInterval: seconds } = properties;
  if (seconds === undefined) return properties;
  return { ...properties, messageExpiryInterval: Math.max(1, seconds - Math.floor((Date.now() - receivedAt) / 1000)) };
}

/** EMQX's pub_props: the map keeps the last of a key, the pairs are there when there are any. Binary becomes what JSON can hold. */
export function pubProps({ userProperties = [], ...rest }: BrokerProperties): Record<string, unknown> {
  return {
    ...(userProperties.length > 0 && { 'User-Property-Pairs': userProperties.map(({ key, value }) => ({ value, key })) }),
    'User-Property': Object.fromEntries(userProperties.map(({ key, value }) => [key, value])),
    ...(rest.responseTopic !== undefined && { 'Response-Topic': rest.responseTopic }),
    ...(rest.payloadFormatIndicator !== undefined && { 'Payload-Format-Indicator': rest.payloadFormatIndicator }),
    ...(rest.messageExpiryInterval !== undefined && { 'Message-Expiry-Interval': rest.messageExpiryInterval }),
    ...(rest.correlationData !== undefined && { 'Correlation-Data': rest.correlationData }),
    ...(rest.contentType !== undefined && { 'Content-Type': rest.contentType }),
  };
}
