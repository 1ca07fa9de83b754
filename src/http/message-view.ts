import { isUtf8 } from 'node:buffer';
import type { Message, MessageProperties } from '../mqtt/message';
import type { components } from '../contract/openapi';

type Schemas = components['schemas'];

/** A message as /v1/messages shows it. */
export function messageView(message: Message): Schemas['Message'] {
  const { id, topic, clientid, username, qos, retain, payload, publishReceivedAt, expiresAt, properties } = message;
  return {
    id,
    topic,
    clientid,
    username,
    qos,
    retain,
    payload: payload.toString('base64'),
    text: isUtf8(payload) ? payload.toString('utf8') : null,
    publish_received_at: publishReceivedAt,
    expires_at: expiresAt,
    properties: propertiesView(properties),
  };
}

/** Uses the names of EMQX's REST API for publishing. Properties that the message does not have are left out. */
function propertiesView(properties: MessageProperties): Schemas['MessageProperties'] {
  const { contentType, responseTopic, correlationData, payloadFormatIndicator, messageExpiryInterval, userProperties } = properties;
  return {
    ...(contentType !== undefined && { content_type: contentType }),
    ...(responseTopic !== undefined && { response_topic: responseTopic }),
    ...(correlationData !== undefined && { correlation_data: correlationData }),
    ...(payloadFormatIndicator !== undefined && { payload_format_indicator: payloadFormatIndicator }),
    ...(messageExpiryInterval !== undefined && { message_expiry_interval: messageExpiryInterval }),
    ...(userProperties !== undefined && { user_properties: userProperties.map(({ key, value }) => ({ key, value })) }),
  };
}
