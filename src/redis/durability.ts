import { Cluster } from 'ioredis';
import type { Weakness } from '../base/health';
import type { RedisConnection } from './connect';
import { evictionPolicy, infoField } from './info';

/** What each master may lose of what Redis has confirmed. INFO needs no extra rights. Throws ioredis' errors. */
export async function weaknessesOf(connection: RedisConnection): Promise<Weakness[]> {
  const masters = connection instanceof Cluster ? connection.nodes('master') : [connection];
  const infos = await Promise.all(masters.map(async (node) => `${await node.info('persistence')}\n${await node.info('memory')}`));
  const all = infos.flatMap((info) => [
    ...(infoField(info, 'aof_enabled') === '0'
      ? [
          {
            text: 'appendonly is off: everything that Redis confirmed after its last snapshot is lost when it crashes',
            remedy: 'set appendonly yes',
          },
        ]
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
      text: `maxmemory-policy ${policy}: Redis may delete data when its memory is full`,
      remedy: 'set maxmemory-policy noeviction',
    },
  ];
}
