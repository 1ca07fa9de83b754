import { tlsOf, type TlsOptions } from '../../config/tls';
import { authorityOf, type ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

/** By the names in the URL. EACH_QUORUM and ANY are missing, because they can't be used for reads. */
const CONSISTENCIES = ['local_quorum', 'quorum', 'all', 'local_one', 'one', 'two', 'three'] as const;
export type Consistency = (typeof CONSISTENCIES)[number];

const PARAMS = ['dc', 'consistency', 'tls', 'ca'];
const DEFAULT_PORT = 9042;
const SETTING = 'STORE_URL';

export interface CassandraSettings {
  /** host:port */
  readonly contactPoints: readonly string[];
  readonly keyspace: string;
  readonly datacenter: string;
  readonly consistency: Consistency;
  readonly credentials: { readonly username: string; readonly password: string } | null;
  readonly tls: TlsOptions | null;
  /** How long to wait for an answer (ms). */
  readonly readTimeoutMs?: number;
}

/**
 * cassandra://user:password@h1:9042,h2/keyspace?dc=datacenter1&consistency=local_quorum&tls=true&ca=FILE
 * @throws SettingError
 */
export function cassandraSettings(url: ServiceUrl): CassandraSettings {
  const { hosts, user, password, path: keyspace, params } = url;
  const unknown = Object.keys(params).find((name) => !PARAMS.includes(name));
  if (unknown !== undefined) throw new SettingError(SETTING, `cassandra:// knows no ?${unknown}=; known are ${PARAMS.join(', ')}`);
  if (!/^\w{1,48}$/.test(keyspace)) {
    throw new SettingError(
      SETTING,
      'name the keyspace after the hosts (letters, digits and _, at most 48): cassandra://host:9042/keyspace?dc=datacenter1',
    );
  }
  const datacenter = params['dc'] ?? '';
  if (datacenter === '')
    throw new SettingError(SETTING, 'add ?dc= with the name of the data center to talk to ("nodetool status" shows it, often datacenter1)');
  return {
    contactPoints: hosts.map(({ host, port }) => authorityOf({ host, port: port ?? DEFAULT_PORT })),
    keyspace,
    datacenter,
    consistency: consistencyOf(params['consistency'] ?? 'local_quorum'),
    credentials: user === null ? null : { username: user, password: password ?? '' },
    tls: tlsOf(url, SETTING),
  };
}

function consistencyOf(text: string): Consistency {
  const found = CONSISTENCIES.find((name) => name === text);
  if (found === undefined) throw new SettingError(SETTING, `consistency=${text} is unknown; write one of ${CONSISTENCIES.join(', ')}`);
  return found;
}

/** Whether reads and writes share at least one replica, so that the next read sees a write. */
export function meets(consistency: Consistency): boolean {
  return consistency === 'local_quorum' || consistency === 'quorum' || consistency === 'all';
}
