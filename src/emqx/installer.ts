import type { RuleName, RuleOptions } from './rules';

/** What to install: one rule set with its connector and action. */
export interface Wanted extends RuleOptions {
  readonly set: RuleName;
  readonly name: string;
  /** The address of another server on the same queue. EMQX 4 sends it the events that this server did not accept. */
  readonly fallbackUrl?: string;
}

/**
 * Installs a rule set and everything that it needs in EMQX, and removes it again. Each generation of EMQX has its own
 * implementation (v5-installer.ts, v4-installer.ts).
 * @throws AuthError if EMQX rejects the key, RetryableError if EMQX is away, and RefusedError if EMQX, or a resource
 * that was made by others, prevents a change.
 */
export interface RuleInstaller {
  /**
   * The changes that EMQX needs, in the order in which they must be made; empty if everything is as wanted. Changes
   * nothing yet.
   */
  plan(wanted: Wanted): Promise<readonly Change[]>;

  /** The changes that remove what --install made under this name: one rule set, or all sets if `set` is null. */
  planRemoval(name: string, set: RuleName | null): Promise<readonly Change[]>;

  /** Waits at most `waitMs` until EMQX is connected to the server. */
  connection(wanted: Wanted, waitMs: number): Promise<Connection>;

  /**
   * Makes EMQX send one event through the rule, which the server answers and ignores. Waits at most `waitMs` for the
   * answer that EMQX received.
   */
  firstEvent(wanted: Wanted, waitMs: number): Promise<FirstEvent>;

  close(): void;
}

/** One resource of EMQX that is added, changed or removed. */
export interface Change {
  readonly kind: 'add' | 'change' | 'remove';
  /** For example `connector http:offline_store`. */
  readonly what: string;
  readonly fields: readonly FieldChange[];
  /**
   * Makes the change and reads the resource back.
   * @throws RefusedError if EMQX has stored something else.
   */
  carryOut(): Promise<void>;
}

/** Values as they are displayed, without secrets. */
export interface FieldChange {
  /** For example `resource_opts.request_ttl`. */
  readonly path: string;
  /** null if not set. */
  readonly from: string | null;
  readonly to: string | null;
}

export interface Connection {
  readonly connected: boolean;
  /** EMQX's text: `connected`, or why not. */
  readonly detail: string;
}

export interface FirstEvent {
  /** `unseen`: this EMQX can't send an event on request, or counted no answer in time. */
  readonly outcome: 'arrived' | 'refused' | 'unseen';
  readonly detail: string;
}
