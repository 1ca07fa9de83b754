import type { Message } from '../../src/mqtt/message';
import { publishBody } from '../../src/dead-letters/publish-body';
import { message } from './messages';

/** A message.publish event as the shipped rule sends it. */
export const publishEvent = (fields: Partial<Message> & Pick<Message, 'topic'>) => publishBody(message(fields));

export const ackEvent = (id: string, topic: string, clientid = 'subscriber', properties: Record<string, string> = {}) => ({
  event: 'message.acked',
  ...{ id, topic, clientid, qos: 1, username: 'undefined', timestamp: Date.now(), publish_received_at: Date.now() },
  ...{
    flags: { retain: false },
    pub_props: { 'User-Property': properties },
    payload_base64: 'undefined',
    correlation_data_base64: 'undefined',
  },
});
