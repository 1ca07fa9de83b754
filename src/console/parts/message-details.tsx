import type { ComponentChildren } from 'preact';
import type { Answer } from '../api/client';
import { link } from '../state/route';
import { Facts } from './facts';
import { Payload } from './payload';
import { When } from './time';

export type Message = Answer<'/v1/messages/{id}'>;

/** Everything that is stored of a message, and its payload. `children`: its buttons. */
export function MessageDetails({ message, children }: { message: Message; children?: ComponentChildren }) {
  const { id, topic, clientid, username, qos, retain, publish_received_at, expires_at, properties } = message;
  return (
    <div class="message-details">
      <Facts
        facts={[
          ['Topic', <code class="breakable">{topic}</code>],
          ['Published by', <a href={link('clients', { id: clientid })}>{clientid}</a>],
          ...(username === null ? [] : ([['User name', username]] as const)),
          ['Published', <When at={publish_received_at} />],
          ['Expires', <When at={expires_at} />],
          ['QoS', `${qos}${retain ? ', retained' : ''}`],
          ['Id', <code class="breakable">{id}</code>],
          ...propertyFacts(properties),
        ]}
      />
      <Payload payload={message.payload} text={message.text} />
      {children !== undefined && <div class="buttons">{children}</div>}
    </div>
  );
}

function propertyFacts(properties: Message['properties']): (readonly [string, ComponentChildren])[] {
  const { content_type, response_topic, correlation_data, message_expiry_interval, user_properties = [] } = properties;
  return [
    ...(content_type === undefined ? [] : [['Content type', content_type] as const]),
    ...(response_topic === undefined ? [] : [['Response topic', <code class="breakable">{response_topic}</code>] as const]),
    ...(correlation_data === undefined ? [] : [['Correlation data', <code class="breakable">{correlation_data}</code>] as const]),
    ...(message_expiry_interval === undefined ? [] : [['Message expiry', `${message_expiry_interval} s`] as const]),
    ...user_properties.map(({ key, value }) => [`User property ${key}`, value] as const),
  ];
}
