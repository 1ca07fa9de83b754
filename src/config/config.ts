import type { LogSettings } from '../base/log';
import type { Statements } from './statements';
import type { Policy } from './policies';
import type { ListenerTls } from './listener-tls';
import type { ServiceUrl } from './url';

/** The checked settings, with defaults filled in. */
export interface Config {
  readonly host: string;
  readonly port: number;
  /** null for plain HTTP. */
  readonly tls: ListenerTls | null;
  readonly dataDir: string;
  readonly store: ServiceUrl;
  /** The operator's own statements instead of the built-in statements of the store. */
  readonly storeSql: Statements;
  readonly history: readonly ServiceUrl[];
  readonly queue: ServiceUrl;
  readonly emqx: EmqxSettings;
  readonly ingestToken: string | null;
  /**
   * Also accepted instead of ingestToken. EMQX loses an event that is answered 401, so both must be valid while the
   * token is changed.
   */
  readonly previousIngestToken: string | null;
  readonly adminToken: string | null;
  /** A token that may read what the admin token may read; null if there is no such token. */
  readonly readToken: string | null;
  /** null if the server creates the key at its first start and keeps it in the database of the queue (promise 18). */
  readonly signingKey: string | null;
  readonly policies: readonly Policy[];
  /** LOG_LEVEL and LOG_FORMAT. */
  readonly log: LogSettings;
}

export interface EmqxSettings {
  /** The base URL of the REST API, without a trailing slash. */
  readonly url: string;
  readonly version: 4 | 5;
  /** null if no API key is set. Messages are stored then, but not delivered. */
  readonly credentials: { readonly apiKey: string; readonly apiSecret: string } | null;
  /**
   * The PEM certificate of the authority that signed EMQX's HTTPS certificate; null for the authorities that Node.js
   * trusts.
   */
  readonly ca: string | null;
}
