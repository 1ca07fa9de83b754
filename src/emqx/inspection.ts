/**
 * What EMQX tells about itself and about the rules that post to this server.
 * @throws RetryableError, AuthError or RefusedError
 */
export interface Inspection {
  /** How far EMQX's clock is ahead of the server's (ms, exact to about a second); null if the answer has no date. */
  clockAhead(): Promise<number | null>;

  /** All rules with an HTTP action, with the action and its connector. */
  rules(): Promise<InstalledRule[]>;

  /** Facts about some of EMQX's clients. */
  clients(): Promise<ClientsView>;
}

export interface ClientsView {
  /** The number of clients that were read: at most 1,000. */
  readonly count: number;
  /** How many of these have a durable session. */
  readonly durable: number;
  /** A client whose topics EMQX gives a mountpoint; null if there is none. */
  readonly mounted: { readonly clientid: string; readonly mountpoint: string } | null;
}

export interface InstalledRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly sql: string;
  readonly actions: readonly InstalledAction[];
}

/** An action as EMQX's REST API shows it, including default values. */
export interface InstalledAction {
  readonly name: string;
  readonly enabled: boolean;
  /** connected, connecting, disconnected or inconsistent; `reason` says why. */
  readonly status: string;
  readonly reason: string;
  readonly path: string;
  /** How long an event waits in EMQX: `45s` or `infinity`. */
  readonly requestTtl: string;
  readonly hasToken: boolean;
  /**
   * Events that EMQX has dropped since its start: the answer was an error that EMQX does not retry, the event expired,
   * or the buffer was full.
   */
  readonly lost: number;
  readonly connector: InstalledConnector | null;
}

export interface InstalledConnector {
  readonly name: string;
  readonly enabled: boolean;
  readonly url: string;
  /** `random` or `hash`. */
  readonly poolType: string;
  readonly hasToken: boolean;
  /**
   * The fingerprint of the token that `rules --install` wrote (token-print.ts). Absent if it is unknown which token it
   * is.
   */
  readonly tokenPrint?: string;
}
