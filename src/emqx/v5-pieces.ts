import type { FieldChange, Wanted } from './installer';
import { differences, merged, picked, valueAt, type Json, type Paths } from './resource-diff';
import { connectorName, OURS, ruleId, ruleTemplate } from './rules';
import { describeConnector, printIn, tokenPrint } from './token-print';
import type { Kind } from './v5-resources';
import { isObject } from './v5-answer';

/** One resource as it should be in EMQX. */
export interface Piece {
  readonly kind: Kind;
  readonly name: string;
  /** The fields that must be changed in the present resource. */
  differences(present: Json | null): FieldChange[];
  /**
   * The request body. Settings that the operator has chosen are kept, for example pool_size, max_buffer_bytes and TLS
   * options.
   */
  body(present: Json | null): Json;
}

/**
 * Fields that the rule needs in order to work. All other fields are written when the resource is made, and belong to
 * the operator afterwards.
 */
const REQUIRED = {
  connector: ['enable', 'url', 'pool_type', 'ssl.enable'],
  action: [
    'enable',
    'connector',
    ...['method', 'path', 'headers.content-type', 'body'].map((key) => `parameters.${key}`),
    'resource_opts.query_mode',
    'resource_opts.request_ttl',
  ],
  rule: ['enable', 'sql', 'actions'],
} satisfies Record<Kind, Paths>;

/**
 * The settings that are kept. EMQX's answers also contain fields that are not settings (status, node_status, rules,
 * ...), which EMQX would reject in a request.
 */
const KEPT = {
  connector: ['description', 'tags', 'headers', 'pool_size', 'connect_timeout', 'enable_pipelining', 'ssl', 'resource_opts'],
  action: ['description', 'tags', 'parameters.headers', 'parameters.max_retries', 'resource_opts', 'fallback_actions'],
  rule: ['name', 'description'],
} satisfies Record<Kind, Paths>;

const TOKEN = 'headers.authorization';

/** Connector, action and rule of a set, in the order in which EMQX needs them. */
export function piecesOf(wanted: Wanted): readonly Piece[] {
  const { connectors, actions, rule_engine } = ruleTemplate(wanted.set, wanted);
  const id = ruleId(wanted.set, wanted.name);
  const name = connectorName(wanted.name);
  return [
    connectorPiece(name, { ...connectors.http[name] }, wanted.token),
    plainPiece('action', id, { ...actions.http[id] }),
    plainPiece('rule', id, { ...rule_engine.rules[id] }),
  ];
}

/** Whether the command has made the present resource of this name. */
export function isMade(kind: Kind, name: string, present: Json, connector: string): boolean {
  if (kind === 'connector') return String(present['description'] ?? '').startsWith(OURS);
  if (kind === 'action') return present['connector'] === connector || String(valueAt(present, 'parameters.path')).startsWith('/v1/events');
  return Array.isArray(present['actions']) && present['actions'].includes(`http:${name}`);
}

/** The fields that are shown of a resource that is removed. */
export function lastSight(kind: Kind, present: Json): FieldChange[] {
  return differences(present, {}, kind === 'connector' ? ['url'] : kind === 'action' ? ['connector'] : ['sql']);
}

function plainPiece(kind: 'action' | 'rule', name: string, template: Json): Piece {
  const required = picked(template, REQUIRED[kind]);
  return {
    kind,
    name,
    differences: (present) => differences(present, template, REQUIRED[kind]),
    body: (present) => (present === null ? template : merged(merged(template, picked(present, KEPT[kind])), required)),
  };
}

/** If `token` is undefined, no token is written and a present one stays. A server without INGEST_TOKEN ignores it. */
function connectorPiece(name: string, template: Json, token: string | undefined): Piece {
  const print = token === undefined ? null : tokenPrint(token);
  const required = picked(template, [...REQUIRED.connector, ...(token === undefined ? [] : [TOKEN])]);
  const wanted = print === null ? required : { ...required, description: describeConnector(print) };
  return {
    kind: 'connector',
    name,
    differences: (present) => [
      ...differences(present === null ? null : withoutSlash(present), template, REQUIRED.connector),
      ...(print === null ? [] : tokenChange(present, print)),
    ],
    body: (present) => {
      if (present === null) return { ...template, ...wanted };
      const kept = picked(present, KEPT.connector);
      return merged(merged(template, token === undefined ? kept : { ...kept, headers: withoutToken(kept['headers']) }), wanted);
    },
  };
}

function tokenChange(present: Json | null, print: string): FieldChange[] {
  const hasToken = present !== null && hasAuthorization(present['headers']);
  const known = present === null ? null : printIn(String(present['description'] ?? ''));
  if (hasToken && known === print) return [];
  const from = hasToken ? (known === null ? '(a token that EMQX hides)' : '(another token)') : null;
  return [{ path: TOKEN, from, to: 'Bearer (INGEST_TOKEN)' }];
}

const hasAuthorization = (headers: unknown): boolean => isObject(headers) && Object.keys(headers).some(isAuthorization);
const isAuthorization = (name: string): boolean => name.toLowerCase() === 'authorization';

function withoutToken(headers: unknown): Json {
  return isObject(headers) ? Object.fromEntries(Object.entries(headers).filter(([name]) => !isAuthorization(name))) : {};
}

function withoutSlash(connector: Json): Json {
  return { ...connector, url: String(connector['url'] ?? '').replace(/\/+$/, '') };
}
