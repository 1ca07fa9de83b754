import type { BrokerProperties } from './message';

type Json = Record<string, unknown>;

/** What POST /publish takes in `properties`. */
export function propertiesOf(json: Json): BrokerProperties {
  const users = Object.entries((json['user_properties'] ?? {}) as Record<string, string>).map(([key, value]) => ({ key, value }));
  const correlation = json['correlation_data'];
  return {
    ...(users.length > 0 && { userProperties: users }),
    ...(typeof json['content_type'] === 'string' && { contentType: json['content_type'] }),
    ...(typeof json['response_topic'] === 'string' && { responseTopic: json['response_topic'] }),
    ...(typeof correlation === 'string' && { correlationData: Buffer.from(correlation) }),
    ...(json['payload_format_indicator'] !== undefined && { payloadFormatIndicator: json['payload_format_indicator'] as 0 | 1 }),
    ...(json['message_expiry_interval'] !== undefined && { messageExpiryInterval: json['message_expiry_interval'] as number }),
  };
}
