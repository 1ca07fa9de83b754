import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../base/errors';
import { DEFAULT_BACKOFF, withRetries } from './backoff';
import { HttpConnection, type HttpRequest } from './http';
import type { Change, Connection, FieldChange, FirstEvent, RuleInstaller, Wanted } from './installer';
import { differences, type Json, type Paths } from './resource-diff';
import { conflicts, connectorName, OURS, ruleId, ruleNames, type RuleName } from './rules';
import { ruleV4Template } from './rules-v4';
import type { ResourceOptions } from './v5-resources';
import { codeText, readReply, verdictOf } from './v4-answer';

type Kind = 'resource' | 'rule';

/** The fields that are compared. EMQX 4 shows more fields than these. */
const COMPARED = {
  resource: ['config.url', 'config.method', 'config.connect_timeout', 'config.request_timeout', 'config.pool_size'],
  rule: ['rawsql', 'enabled', 'actions'],
} satisfies Record<Kind, Paths>;

const TIMEOUT_MS = 20_000;
const LOOK_MS = 250;

/**
 * Installs in EMQX 4.4: a resource for each address, and one rule (POST, GET and DELETE of /resources and /rules). A
 * resource or rule that differs is deleted and made again. The rule is deleted first, because EMQX does not delete a
 * resource that a rule uses. EMQX sends no events in between, and EMQX 4 does not retry.
 */
export class InstallerV4 implements RuleInstaller {
  private readonly http: HttpConnection;
  private readonly closing = new AbortController();

  constructor(private readonly options: ResourceOptions) {
    this.http = new HttpConnection(options);
  }

  async plan(wanted: Wanted): Promise<readonly Change[]> {
    const { url, fallbackUrl, set, ...rest } = wanted;
    const template = ruleV4Template(set, { ...rest, urls: [url, ...(fallbackUrl === undefined ? [] : [fallbackUrl])] });
    const [resources, rules] = [await this.list('resource'), await this.list('rule')];
    const others = conflicts(set).map((other) => ruleId(other, wanted.name));
    const gone = rules.filter(({ id }) => others.includes(String(id)));
    const [rule] = template.rules.map((each) => ({ ...each }) as Json);
    const parts = template.resources.map((each) => ({ ...each }) as unknown as Json);
    const stale = parts.filter((part) => differences(own(resources, part, 'resource'), part, COMPARED.resource).length > 0);
    const present = rule === undefined ? null : own(rules, rule, 'rule');
    const isStale = rule !== undefined && (stale.length > 0 || differences(shownRule(present), rule, COMPARED.rule).length > 0);
    return [
      ...(present !== null && isStale ? [this.removal('rule', present)] : []),
      ...stale
        .map((part) => own(resources, part, 'resource'))
        .filter((part) => part !== null)
        .map((part) => this.removal('resource', part)),
      ...stale.map((part) => this.addition('resource', part, own(resources, part, 'resource'))),
      ...(rule !== undefined && isStale ? [this.addition('rule', rule, shownRule(present))] : []),
      ...gone.map((each) => this.removal('rule', each)),
    ];
  }

  async planRemoval(name: string, set: RuleName | null): Promise<readonly Change[]> {
    const [resources, rules] = [await this.list('resource'), await this.list('rule')];
    const ids = (set === null ? ruleNames : [set]).map((each) => ruleId(each, name));
    const gone = rules.filter((rule) => ids.includes(String(rule['id'])) && usesOurs(rule, name));
    const left = rules.filter((rule) => !gone.includes(rule) && usesOurs(rule, name));
    const foreign = left.filter(({ id }) => !ruleNames.some((each) => ruleId(each, name) === id));
    if (foreign.length > 0)
      throw new RefusedError(
        `resource ${connectorName(name)} is used by rule ${foreign.map(({ id }) => String(id)).join(', ')}, which this command did not make: remove that first`,
      );
    const free = left.length > 0 ? [] : resources.filter((each) => isOurs(each, name) && isMade(each));
    return [...gone.map((rule) => this.removal('rule', rule)), ...free.map((each) => this.removal('resource', each))];
  }

  /** EMQX leaves a rule disabled if its resource could not be reached when the rule was made. */
  async connection({ set, name }: Wanted, waitMs: number): Promise<Connection> {
    for (const end = performance.now() + waitMs; ; await sleep(LOOK_MS)) {
      const rule = (await this.list('rule')).find(({ id }) => id === ruleId(set, name));
      if (rule?.['enabled'] === true) return { connected: true, detail: 'connected' };
      if (performance.now() >= end)
        return {
          connected: false,
          detail: rule === undefined ? 'the rule is gone' : 'EMQX left the rule disabled; give the command again when the server runs',
        };
    }
  }

  async firstEvent(): Promise<FirstEvent> {
    return {
      outcome: 'unseen',
      detail: 'EMQX 4 cannot send one on request: publish a message to a topic of the rule, and look at GET /v1/messages',
    };
  }

  close(): void {
    this.closing.abort(new Error('closed'));
    this.http.close();
  }

  private addition(kind: Kind, wanted: Json, before: Json | null): Change {
    const what = labelOf(kind, wanted);
    return {
      kind: 'add',
      what,
      fields: differences(before, wanted, COMPARED[kind]).map(withoutToken),
      carryOut: async () => {
        await this.write({ method: 'POST', path: `/${kind}s`, body: JSON.stringify(wanted) }, what);
        const present = (await this.list(kind)).find(({ id }) => id === wanted['id']) ?? null;
        // connection() reports `enabled`.
        const kept = COMPARED[kind].filter((path) => path !== 'enabled');
        const [wrong] = differences(kind === 'rule' ? shownRule(present) : present, wanted, kept).map(withoutToken);
        if (wrong !== undefined)
          throw new RefusedError(
            `EMQX took the ${what} and has not kept it so: ${wrong.path} is ${wrong.from ?? 'not set'}, and not ${wrong.to ?? 'absent'}`,
          );
      },
    };
  }

  private removal(kind: Kind, present: Json): Change {
    const what = labelOf(kind, present);
    const fields: FieldChange[] = differences(present, {}, kind === 'resource' ? ['config.url'] : ['rawsql']);
    return {
      kind: 'remove',
      what,
      fields,
      carryOut: () => this.write({ method: 'DELETE', path: `/${kind}s/${String(present['id'])}` }, what),
    };
  }

  private list(kind: Kind): Promise<readonly Json[]> {
    const { signal } = this.closing;
    return withRetries({ ...DEFAULT_BACKOFF, ...this.options.backoff }, signal, async () => {
      const { code, data, message } = readReply(
        await this.http.exchange({ method: 'GET', path: `/${kind}s`, timeoutMs: TIMEOUT_MS, signal }),
        this.http.shownUrl,
      );
      if (verdictOf(code) !== 'ok') throw new RefusedError(`EMQX does not list its ${kind}s: ${codeText(code, message)}`);
      return data;
    });
  }

  private async write(request: Pick<HttpRequest, 'method' | 'path' | 'body'>, what: string): Promise<void> {
    const { signal } = this.closing;
    const { code, message } = readReply(await this.http.exchange({ ...request, timeoutMs: TIMEOUT_MS, signal }), this.http.shownUrl);
    if (verdictOf(code) !== 'ok') throw new RefusedError(`EMQX refused the ${what}: ${codeText(code, message)}`);
  }
}

const labelOf = (kind: Kind, { id }: Json): string => `${kind} ${String(id)}`;
const isMade = ({ description }: Json): boolean => String(description ?? '').startsWith(OURS);
const isOurs = ({ id }: Json, name: string): boolean => [connectorName(name), `${connectorName(name)}_fallback`].includes(String(id));

/**
 * @returns null if there is none with this id.
 * @throws RefusedError if it was made by others
 */
function own(all: readonly Json[], wanted: Json, kind: Kind): Json | null {
  const present = all.find(({ id }) => id === wanted['id']) ?? null;
  if (present !== null && kind === 'resource' && !isMade(present))
    throw new RefusedError(`${labelOf(kind, present)} is there and was not made by this command: give another --name, or remove it`);
  return present;
}

function usesOurs({ actions }: Json, name: string): boolean {
  return (
    Array.isArray(actions) && (actions as Json[]).some(({ params }) => isOurs({ id: (params as Json | undefined)?.['$resource'] }, name))
  );
}

/** An action has its token in its headers. Neither the new token nor an old one is shown. */
function withoutToken({ path, from, to }: FieldChange): FieldChange {
  const hidden = (text: string | null): string | null => text?.replace(/("authorization":)"[^"]*"/gi, '$1"(hidden)"') ?? null;
  return { path, from: hidden(from), to: hidden(to) };
}

/** EMQX shows more of an action than it was given: also its id and metrics. */
function shownRule(rule: Json | null): Json | null {
  const shown = (action: Json): Json => ({
    name: action['name'],
    params: action['params'],
    fallbacks: ((action['fallbacks'] ?? []) as Json[]).map(shown),
  });
  return rule === null ? null : { ...rule, actions: ((rule['actions'] ?? []) as Json[]).map(shown) };
}
