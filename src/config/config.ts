import type { Statements } from './statements';
import type { Policy } from './policies';
import type { ListenerTls } from './listener-tls';
import type { ServiceUrl } from './url';

/** Settings as the rest of the server sees them: checked, with defaults, in exact types. */
export interface Config {
  readonly host: string;
  readonly port: number;
  /** null: plain HTTP. */
  readonly tls: ListenerTls | null;
  readonly dataDir: string;
  readonly store: ServiceUrl;
  /** The operator's own statements in the place of the store's. */
  readonly storeSql: Statements;
  readonly history: readonly ServiceUrl[];
  readonly queue: ServiceUrl;
  readonly emqx: EmqxSettings;
  readonly ingestToken: string | null;
  /** Still taken beside it: EMQX loses an event that gets a 401, so a token is changed with both valid for a while. */
  readonly previousIngestToken: string | null;
  readonly adminToken: string | null;
  /** For reading what the admin token may read; null: there is none. */
  readonly readToken: string | null;
  /** null: made at first start and kept beside the queue (promise 18). */
  readonly signingKey: string | null;
  readonly policies: readonly Policy[];
}

export interface EmqxSettings {
  /** The REST base, without a trailing slash. */
  readonly url: string;
  readonly version: 4 | 5;
  /** Both or neither: without them events are stored and nothing can be delivered. */
  readonly credentials: { readonly apiKey: string; readonly apiSecret: string } | null;
  /** PEM of the authority of EMQX's HTTPS certificate; null: those that Node.js trusts. */
  readonly ca: string | null;
}
