/** What EMQX says about itself and about the rules that post to us. Methods throw RetryableError, AuthError or RefusedError. */
export interface Inspection {
  /** How far EMQX's clock is ahead of ours (ms, about a second exact); null: its answer has no date. */
  clockAhead(): Promise<number | null>;

  /** Every rule with an HTTP action, with what the action and its connector do. */
  rules(): Promise<InstalledRule[]>;

  /** A look at some clients. */
  clients(): Promise<ClientsView>;
}

export interface ClientsView {
  /** How many were looked at: 1,000 at most. */
  readonly count: number;
  /** How many of them have a durable session. */
  readonly durable: number;
  /** One that EMQX puts a mountpoint before the topics of; null: there is none. */
  readonly mounted: { readonly clientid: string; readonly mountpoint: string } | null;
}

export interface InstalledRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly sql: string;
  readonly actions: readonly InstalledAction[];
}

/** As EMQX's REST API shows it, defaults filled in. */
export interface InstalledAction {
  readonly name: string;
  readonly enabled: boolean;
  /** connected, connecting, disconnected, inconsistent; `reason` says why. */
  readonly status: string;
  readonly reason: string;
  readonly path: string;
  /** `45s` or `infinity`: for so long an event waits in EMQX. */
  readonly requestTtl: string;
  readonly hasToken: boolean;
  /** Events that EMQX gave up since its start: answered with an error that it does not retry, expired, or no room in its buffer. */
  readonly lost: number;
  readonly connector: InstalledConnector | null;
}

export interface InstalledConnector {
  readonly name: string;
  readonly enabled: boolean;
  readonly url: string;
  /** random or hash */
  readonly poolType: string;
  readonly hasToken: boolean;
  /** Of the token that `rules --install` put in (token-print.ts); absent: nobody can tell which token it is. */
  readonly tokenPrint?: string;
}
