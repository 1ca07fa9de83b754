import { Redis } from 'ioredis';
import { parseServiceUrl } from '../../../src/config/url';
import type { Message } from '../../../src/mqtt/message';
import { KEYED, row, TABLE, type MakePlain } from './plain';

export const redis: MakePlain = async (url) => {
  const { hosts, params } = parseServiceUrl(url, ['redis']);
  const client = new Redis({ host: hosts[0]!.host, port: hosts[0]!.port! });
  const key = (name: string, id: string) => `${params['prefix'] ?? ''}:${name}:${id}`;
  const insert = (name: string, messages: readonly Message[]) => {
    const pipeline = client.pipeline();
    for (const message of messages) pipeline.hset(key(name, message.id), row(message));
    return pipeline.exec();
  };
  return {
    insert: (messages) => insert(TABLE, messages),
    insertKeyed: (messages) => insert(KEYED, messages),
    remove: (ids) => client.del(ids.map((id) => key(KEYED, id))),
    close: async () => client.disconnect(),
  };
};
