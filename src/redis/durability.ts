import { Cluster } from 'ioredis';
import type { Weakness } from '../base/health';
import type { RedisConnection } from './connect';
import { evictionPolicy, infoField } from './info';

/** What a Redis may lose of what it has confirmed: of each master. INFO needs no right that a client lacks. Throws what ioredis throws. */
export async function weaknessesOf(connection: RedisConnection): Promise<Weakness[]> {
  const masters = connection instanceof Cluster ? connection.nodes('master') : [connection];
  const infos = await Promise.all(masters.map(async (node) => `${await node.info('persistence')}\n${await node.info('memory')}`));
  const all = infos.flatMap((info) => [
    ...(infoField(info, 'aof_enabled') === '0'
      ? [{ text: 'no append-only file: what was confirmed since the last snapshot is lost when Redis dies', remedy: 'set appendonly yes' }]
      : []),
    ...evictionOf(info),
  ]);
  return all.filter(({ text }, i) => all.findIndex((each) => each.text === text) === i);
}

function evictionOf(info: string): Weakness[] {
  const policy = evictionPolicy((name) => infoField(info, name));
  if (policy === null) return [];
  return [
    {
      text: `maxmemory-policy ${policy}: Redis may throw away what is waiting when its memory is full`,
      remedy: 'set maxmemory-policy noeviction',
    },
  ];
}
