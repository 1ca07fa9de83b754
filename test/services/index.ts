import { cassandra } from './cassandra';
import { chromium } from './chromium';
import { clickhouse } from './clickhouse';
import { clickhouseCurrent } from './clickhouse-current';
import { dynamodb } from './dynamodb';
import { helm } from './helm';
import { influxdb } from './influxdb';
import { mariadb } from './mariadb';
import { mongodb } from './mongodb';
import { mosquitto } from './mosquitto';
import { mysql } from './mysql';
import { opentsdb } from './opentsdb';
import { postgres } from './postgres';
import { redis } from './redis';
import { redisCluster } from './redis-cluster';
import { redisClusterTls } from './redis-cluster-tls';
import { redisSentinel } from './redis-sentinel';
import { redisSentinelTls } from './redis-sentinel-tls';
import { redisTls } from './redis-tls';
import type { Service } from './service';
import { strace } from './strace';
import { systemdAnalyze } from './systemd-analyze';
import { timescale } from './timescale';

/** Each file of this folder that describes a server has its line here. */
export const SERVICES: readonly Service[] = [
  postgres,
  redis,
  redisTls,
  redisCluster,
  redisClusterTls,
  redisSentinel,
  redisSentinelTls,
  mariadb,
  mysql,
  timescale,
  mongodb,
  cassandra,
  dynamodb,
  clickhouse,
  clickhouseCurrent,
  influxdb,
  opentsdb,
  mosquitto,
  strace,
  systemdAnalyze,
  helm,
  chromium,
];
