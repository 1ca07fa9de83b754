import type { RuleName, RuleOptions } from './rules';

/** What is to be installed: one rule set, with its connector and action. */
export interface Wanted extends RuleOptions {
  readonly set: RuleName;
  readonly name: string;
  /** EMQX 4 gives it the events that the server did not take: another server on the same queue. */
  readonly fallbackUrl?: string;
}

/**
 * Puts a rule set and all that it needs into EMQX, and takes it out again. There is one implementation for each generation of EMQX (v5-installer.ts). Methods
 * throw AuthError when EMQX refuses the key, RetryableError when EMQX is away, and RefusedError when EMQX, or a resource that somebody else made, does not let it be done.
 */
export interface RuleInstaller {
  /** What has to change in EMQX, in the order in which it must be done. It changes nothing yet; empty: everything is there as it should be. */
  plan(wanted: Wanted): Promise<readonly Change[]>;

  /** What --install made under this name: of one rule set, or of all (`set` null). */
  planRemoval(name: string, set: RuleName | null): Promise<readonly Change[]>;

  /** Waits until EMQX is connected to the server, for `waitMs` at most. */
  connection(wanted: Wanted, waitMs: number): Promise<Connection>;

  /** Has EMQX send one event through the rule, an event that the server answers and ignores, and waits for the answer that EMQX got, for `waitMs` at most. */
  firstEvent(wanted: Wanted, waitMs: number): Promise<FirstEvent>;

  close(): void;
}

/** One resource of EMQX that is added, changed or removed. */
export interface Change {
  readonly kind: 'add' | 'change' | 'remove';
  /** `connector http:offline_store` */
  readonly what: string;
  readonly fields: readonly FieldChange[];
  /** Does it, reads the resource back, and throws RefusedError when EMQX has not kept it so. */
  carryOut(): Promise<void>;
}

/** Values as they are shown: never a secret. */
export interface FieldChange {
  /** `resource_opts.request_ttl` */
  readonly path: string;
  /** null: not set. */
  readonly from: string | null;
  readonly to: string | null;
}

export interface Connection {
  readonly connected: boolean;
  /** EMQX's words: `connected`, or why it is not. */
  readonly detail: string;
}

export interface FirstEvent {
  /** `unseen`: this EMQX can't send an event on request, or counted no answer in time. */
  readonly outcome: 'arrived' | 'refused' | 'unseen';
  readonly detail: string;
}
