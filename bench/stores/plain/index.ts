import type { BenchStore } from '../../servers';
import { cassandra } from './cassandra';
import { clickhouse } from './clickhouse';
import { dynamodb } from './dynamodb';
import { embedded } from './embedded';
import { mongodb } from './mongodb';
import { mysql } from './mysql';
import type { MakePlain } from './plain';
import { postgres } from './postgres';
import { redis } from './redis';

export type { Plain } from './plain';

/** The plain client library of each store whose client can be compared. */
export const PLAIN: Partial<Record<BenchStore, MakePlain>> = {
  ...{ embedded, postgres, timescale: postgres, mysql, mariadb: mysql, redis, mongodb, cassandra },
  ...{ clickhouse, 'clickhouse-current': clickhouse, dynamodb },
};
