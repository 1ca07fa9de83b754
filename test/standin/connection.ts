import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { generate, parser, type IConnectPacket, type IPublishPacket, type Packet } from 'mqtt-packet';
import type { Broker } from './broker';
import { aged, type BrokerMessage, type BrokerProperties } from './message';
import type { Session } from './session';
import type { Outlet } from './types';

/** mqtt.session_expiry_interval: for MQTT 3.1.1 without a clean session. Seconds. */
const SESSION_EXPIRY = 7_200;

/** One client's TCP connection: MQTT 3.1.1 or 5. */
export class Connection implements Outlet {
  private readonly parser = parser();
  private session: Session | null = null;
  private version = 4;
  private orderly = false;
  /** QoS 2 messages of the client between PUBLISH and PUBREL. */
  private readonly incoming = new Set<number>();

  constructor(
    private readonly broker: Broker,
    private readonly socket: Socket,
  ) {
    socket.setNoDelay(true);
    this.parser.on('packet', (packet) => this.receive(packet));
    this.parser.on('error', () => socket.destroy());
    socket.on('data', (chunk) => this.parser.parse(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.closed());
  }

  close(reason: string): void {
    const { session } = this;
    this.session = null;
    if (session !== null) this.broker.disconnected(session, reason);
    this.socket.destroy();
  }

  kill(): void {
    this.session = null;
    this.socket.destroy();
  }

  /** Without DISCONNECT and without an event yet, as a network that breaks. */
  destroy(): void {
    this.socket.destroy();
  }

  private closed(): void {
    const { session } = this;
    this.session = null;
    if (session?.outlet === this) this.broker.disconnected(session, this.orderly ? 'normal' : 'tcp_closed');
  }

  send(message: BrokerMessage, qos: 0 | 1 | 2, messageId: number | undefined, dup: boolean): void {
    const { topic, payload, retain } = message;
    const packet: IPublishPacket = { cmd: 'publish', topic, payload, qos, retain, dup, ...(messageId !== undefined && { messageId }) };
    if (this.version === 5) packet.properties = toPacket(aged(message));
    this.write(packet);
  }

  release(messageId: number): void {
    this.write({ cmd: 'pubrel', messageId });
  }

  private write(packet: Packet): void {
    if (!this.socket.destroyed) this.socket.write(generate(packet, { protocolVersion: this.version } as never));
  }

  private receive(packet: Packet): void {
    switch (packet.cmd) {
      case 'connect':
        return this.connect(packet);
      case 'publish':
        return this.publish(packet);
      case 'pubrel':
        this.incoming.delete(packet.messageId ?? 0);
        return this.write({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
      case 'puback':
        return this.session?.acknowledge(packet.messageId ?? 0);
      case 'pubrec':
        this.session?.received(packet.messageId ?? 0);
        return this.release(packet.messageId ?? 0);
      case 'pubcomp':
        return this.session?.complete(packet.messageId ?? 0);
      case 'subscribe': {
        this.write({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: packet.subscriptions.map(({ qos }) => qos) });
        for (const { topic, qos, nl } of packet.subscriptions)
          if (this.session !== null) this.broker.subscribe(this.session, topic, qos, nl === true);
        return;
      }
      case 'unsubscribe': {
        for (const filter of packet.unsubscriptions) if (this.session !== null) this.broker.unsubscribe(this.session, filter);
        return this.write({ cmd: 'unsuback', messageId: packet.messageId ?? 0, granted: packet.unsubscriptions.map(() => 0) });
      }
      case 'pingreq':
        return this.write({ cmd: 'pingresp' });
      case 'disconnect':
        this.orderly = true;
        if (this.session !== null) this.session.expiry = packet.properties?.sessionExpiryInterval ?? this.session.expiry;
        this.socket.end();
        return;
      // EMQX answers these, or a client never sends them.
      case 'auth':
      case 'connack':
      case 'pingresp':
      case 'suback':
      case 'unsuback':
        return;
    }
  }

  private connect(packet: IConnectPacket): void {
    const { protocolVersion: version = 4, username = null, clean = true, properties } = packet;
    this.version = version;
    // EMQX chooses the id of a client that sends none, and tells an MQTT 5 client which one.
    const assigned = packet.clientId === '' ? randomBytes(16).toString('base64url') : null;
    const clientid = assigned ?? packet.clientId;
    const expiry = version === 5 ? (properties?.sessionExpiryInterval ?? 0) : clean ? 0 : SESSION_EXPIRY;
    const { receiveMaximum } = properties ?? {};
    const { session, present } = this.broker.open({
      clientid,
      username,
      version,
      clean,
      expiry,
      ...(receiveMaximum !== undefined && { receiveMaximum }),
    });
    this.session = session;
    this.write({
      ...{ cmd: 'connack', sessionPresent: present, returnCode: 0, reasonCode: 0 },
      ...(assigned !== null && version === 5 && { properties: { assignedClientIdentifier: assigned } }),
    });
    this.broker.connected(session, { conn_props: { 'User-Property': {} } });
    session.resume(this);
  }

  private publish(packet: IPublishPacket): void {
    const { messageId = 0 } = packet;
    const repeated = packet.qos === 2 && this.incoming.has(messageId);
    if (packet.qos === 2) this.incoming.add(messageId);
    if (this.session !== null && !repeated) {
      const {
        clientid,
        connect: { username },
      } = this.session;
      const payload = Buffer.from(packet.payload);
      this.broker.publish({
        ...{ clientid, username, payload },
        topic: packet.topic,
        qos: packet.qos,
        retain: packet.retain,
        properties: fromPacket(packet),
      });
    }
    if (packet.qos === 1) this.write({ cmd: 'puback', messageId });
    if (packet.qos === 2) this.write({ cmd: 'pubrec', messageId });
  }
}

function fromPacket({ properties = {} }: IPublishPacket): BrokerProperties {
  const { userProperties, contentType, responseTopic, correlationData, payloadFormatIndicator, messageExpiryInterval } = properties;
  const pairs = Object.entries(userProperties ?? {}).flatMap(([key, values]) => [values].flat().map((value) => ({ key, value })));
  return {
    ...(pairs.length > 0 && { userProperties: pairs }),
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator: payloadFormatIndicator ? 1 : 0 }),
    ...(messageExpiryInterval !== undefined && { messageExpiryInterval }),
  };
}

function toPacket({ userProperties = [], payloadFormatIndicator, ...rest }: BrokerProperties): NonNullable<IPublishPacket['properties']> {
  const map: Record<string, string[]> = {};
  for (const { key, value } of userProperties) (map[key] ??= []).push(value);
  return {
    ...rest,
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator: payloadFormatIndicator === 1 }),
    ...(userProperties.length > 0 && { userProperties: map }),
  };
}
