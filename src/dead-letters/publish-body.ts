import type { Message } from '../mqtt/message';

/**
 * The message.publish event that the message came from, for a dead letter. It is complete, so that a retry stores
 * exactly the same message.
 */
export function publishBody(message: Message): Record<string, unknown> {
  const { contentType, responseTopic, correlationData, payloadFormatIndicator, messageExpiryInterval, userProperties } = message.properties;
  return {
    event: 'message.publish',
    id: message.id,
    topic: message.topic,
    clientid: message.clientid,
    username: message.username ?? 'undefined',
    qos: message.qos,
    flags: { retain: message.retain, dup: false },
    publish_received_at: message.publishReceivedAt,
    timestamp: message.publishReceivedAt,
    payload_base64: message.payload.toString('base64'),
    ...(correlationData !== undefined && { correlation_data_base64: correlationData }),
    pub_props: {
      ...(contentType !== undefined && { 'Content-Type': contentType }),
      ...(responseTopic !== undefined && { 'Response-Topic': responseTopic }),
      ...(payloadFormatIndicator !== undefined && { 'Payload-Format-Indicator': payloadFormatIndicator }),
      ...(messageExpiryInterval !== undefined && { 'Message-Expiry-Interval': messageExpiryInterval }),
      ...(userProperties !== undefined && { 'User-Property-Pairs': userProperties }),
    },
  };
}
