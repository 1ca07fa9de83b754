import type { Installed } from './rules-api';
import { NOT_FOUND, viewOf } from './rules-api';

type Json = Record<string, unknown>;
type Kind = keyof Installed;
export type Written = { status: number; body?: unknown; installed?: Installed };

/** The keys that EMQX's schema knows; others are a 400. */
const KEYS: Record<Kind, readonly string[]> = {
  connectors: [
    'enable',
    'description',
    'tags',
    'url',
    'headers',
    'pool_type',
    'pool_size',
    'connect_timeout',
    'enable_pipelining',
    'ssl',
    'resource_opts',
  ],
  actions: ['enable', 'description', 'tags', 'connector', 'parameters', 'resource_opts', 'local_topic'],
  rules: ['name', 'enable', 'description', 'sql', 'actions'],
};
/** What is no setting, and is dropped from a request (filter_out_request_body). */
const IGNORED = ['id', 'type', 'name', 'status', 'status_reason', 'node_status', 'node'];

/** POST, GET, PUT and DELETE of one connector, action or rule, as EMQX 5.8.9's source has them. null: another route. */
export function answerOne(installed: Installed, route: string, body: () => Json): Written | null {
  const [, method = '', kind = '', id = ''] = /^(GET|POST|PUT|DELETE) \/(connectors|actions|rules)(?:\/([^/]+))?$/.exec(route) ?? [];
  if (method === '' || (id === '') !== (method === 'POST')) return null;
  if (method === 'POST') return create(installed, kind as Kind, body());
  const [type, name = ''] = kind === 'rules' ? ['http', decodeURIComponent(id)] : decodeURIComponent(id).split(':');
  const present = installed[kind as Kind][name];
  if (type !== 'http' || present === undefined) return NOT_FOUND;
  if (method === 'GET') return { status: 200, body: viewOf(kind as Kind, name, present, installed) };
  return method === 'PUT' ? put(installed, kind as Kind, name, revealed(body(), present), 200) : remove(installed, kind as Kind, name);
}

function create(installed: Installed, kind: Kind, body: Json): Written {
  const name = String(body[kind === 'rules' ? 'id' : 'name']);
  if (kind !== 'rules' && (body['type'] !== 'http' || !/^[0-9a-zA-Z][-0-9a-zA-Z_]*$/.test(name))) return bad('Invalid name format');
  if (installed[kind][name] !== undefined)
    return { status: 400, body: { code: kind === 'rules' ? 'BAD_REQUEST' : 'ALREADY_EXISTS', message: 'already exists' } };
  return put(installed, kind, name, body, 201);
}

function put(installed: Installed, kind: Kind, name: string, body: Json, status: number): Written {
  const settings = Object.fromEntries(
    Object.entries(body).filter(([key]) => !IGNORED.includes(key) || (kind === 'rules' && key === 'name')),
  );
  const unknown = Object.keys(settings).filter((key) => !KEYS[kind].includes(key));
  if (unknown.length > 0) return bad(`unknown_fields: ${unknown.join()}`);
  if (kind === 'actions' && installed.connectors[String(settings['connector'])] === undefined)
    return bad('connector_not_found_or_wrong_type');
  const after = { ...installed, [kind]: { ...installed[kind], [name]: settings } };
  return { status, body: viewOf(kind, name, settings, after), installed: after };
}

function remove(installed: Installed, kind: Kind, name: string): Written {
  const actions = Object.values(installed.actions).filter((action) => action['connector'] === name);
  if (kind === 'connectors' && actions.length > 0)
    return bad('Cannot delete connector while there are active channels defined for this connector');
  const rules = Object.values(installed.rules).filter((rule) => (rule['actions'] as string[]).includes(`http:${name}`));
  if (kind === 'actions' && rules.length > 0) return bad('Cannot delete action while active rules are depending on it');
  const left = Object.fromEntries(Object.entries(installed[kind]).filter(([each]) => each !== name));
  return { status: 204, installed: { ...installed, [kind]: left } };
}

/** emqx_utils:deobfuscate: a hidden value that comes back is the old one. */
function revealed(body: Json, present: Json): Json {
  const [headers, old] = [body['headers'], present['headers']] as (Json | undefined)[];
  if (headers === undefined) return body;
  return {
    ...body,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value === '******' ? old?.[name] : value])),
  };
}

const bad = (message: string): Written => ({ status: 400, body: { code: 'BAD_REQUEST', message } });
