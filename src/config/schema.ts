import Ajv2020, { type ErrorObject } from 'ajv/dist/2020';
import type { Policy } from './policies';
import { SettingError } from '../base/errors';
import { LOG_FORMATS, LOG_LEVELS, type LogSettings } from '../base/log';
import { plainFilterProblem } from '../mqtt/validity';
import { parseDuration } from './duration';
import { fileKeyOf, mayBeInFile } from './secret-files';
import { settingOf, STATEMENT_NAMES } from './statements';
import { nearest } from './suggest';

/** The settings as the operator wrote them, after the schema below has checked them and filled in defaults. */
export interface RawSettings {
  HOST: string;
  PORT: number;
  DATA_DIR: string;
  STORE_URL: string;
  HISTORY_URLS: string[];
  QUEUE_URL: string;
  EMQX_URL: string;
  EMQX_API_KEY?: string;
  EMQX_API_SECRET?: string;
  EMQX_CA_FILE?: string;
  TLS_CERT_FILE?: string;
  TLS_KEY_FILE?: string;
  INGEST_TOKEN?: string;
  INGEST_TOKEN_PREVIOUS?: string;
  ADMIN_TOKEN?: string;
  READ_TOKEN?: string;
  SIGNING_KEY?: string;
  POLICIES: RawPolicy[];
  LOG_LEVEL: LogSettings['level'];
  LOG_FORMAT: LogSettings['format'];
}

/** The settings STORE_SQL_*. */
const STORE_SQL = STATEMENT_NAMES.map(settingOf);

export interface RawPolicy extends Omit<Policy, 'ttlMs' | 'fetch'> {
  ttl: string;
  fetch: { limit: number | null; maxAge: string | null };
}

const text = { type: 'string', minLength: 1 };
/** A token must fit into an Authorization header. */
const token = { type: 'string', pattern: '^[\\x21-\\x7e]+$' };
const duration = { type: 'string', format: 'duration' };

const policySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['filter'],
  properties: {
    filter: { type: 'string', format: 'topic filter' },
    mode: { type: 'string', enum: ['queue', 'pubsub', 'off'], default: 'queue' },
    from: { type: 'string', enum: ['earliest', 'now'], default: 'earliest' },
    deliverTo: { type: 'string', enum: ['topic', 'inbox'], default: 'topic' },
    ttl: { ...duration, default: '7d' },
    maxStored: { type: 'integer', minimum: 1, default: 100_000 },
    fetch: {
      type: 'object',
      additionalProperties: false,
      default: {},
      properties: {
        limit: { type: ['integer', 'null'], minimum: 1, default: null },
        maxAge: { type: ['string', 'null'], format: 'duration', default: null },
      },
    },
    window: { type: 'integer', minimum: 1, maximum: 65_535, default: 100 },
    qos0: { type: 'string', enum: ['settle', 'keep', 'skip'], default: 'settle' },
    settle: { type: 'string', enum: ['acknowledged', 'delivered'], default: 'acknowledged' },
    storeQos0: { type: 'boolean', default: false },
    retain: { type: 'string', enum: ['off', 'store', 'restore'], default: 'off' },
  },
};

const properties = {
  HOST: { ...text, default: '127.0.0.1' },
  PORT: { type: 'integer', minimum: 0, maximum: 65_535, default: 8480 },
  DATA_DIR: { ...text, default: './data' },
  STORE_URL: { ...text, default: 'embedded:' },
  HISTORY_URLS: { type: 'array', items: text, default: [] },
  QUEUE_URL: { ...text, default: 'embedded:' },
  EMQX_URL: { ...text, default: 'http://127.0.0.1:18083/api/v5' },
  EMQX_API_KEY: text,
  EMQX_API_SECRET: text,
  EMQX_CA_FILE: text,
  TLS_CERT_FILE: text,
  TLS_KEY_FILE: text,
  INGEST_TOKEN: token,
  INGEST_TOKEN_PREVIOUS: token,
  ADMIN_TOKEN: token,
  READ_TOKEN: token,
  SIGNING_KEY: text,
  POLICIES: { type: 'array', minItems: 1, items: policySchema, default: [{ filter: '#' }] },
  LOG_LEVEL: { type: 'string', enum: LOG_LEVELS, default: 'info' },
  LOG_FORMAT: { type: 'string', enum: LOG_FORMATS, default: 'json' },
  ...Object.fromEntries(STORE_SQL.map((key) => [key, text])),
};

export const SETTING_KEYS: readonly string[] = Object.keys(properties);

/** All settings, and the names KEY_FILE of those that may be in a file. */
export const ENVIRONMENT_KEYS: readonly string[] = [...SETTING_KEYS, ...SETTING_KEYS.filter(mayBeInFile).map(fileKeyOf)];

const validate = compile();

function compile(): (settings: unknown) => readonly ErrorObject[] {
  const ajv = new Ajv2020({ strict: true, allErrors: true, verbose: true, allowUnionTypes: true, useDefaults: true });
  ajv.addFormat('duration', (value: string) => problemOf('duration', value) === null);
  ajv.addFormat('topic filter', (value: string) => problemOf('topic filter', value) === null);
  const check = ajv.compile({ type: 'object', additionalProperties: false, properties });
  return (settings) => (check(settings) ? [] : (check.errors ?? []));
}

/** Checks the settings and fills in defaults. @returns the errors, each with its key. */
export function checkSettings(settings: Record<string, unknown>): SettingError[] {
  return validate(settings).map(explain);
}

/** Turns a JSON pointer into a key. Example: `/POLICIES/0/fetch/maxAge` becomes `POLICIES[0].fetch.maxAge`. */
function keyOf(pointer: string): string {
  return pointer
    .slice(1)
    .replace(/\/(\d+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.');
}

function explain(error: ErrorObject): SettingError {
  const key = keyOf(error.instancePath);
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const unknown = String(params['additionalProperty']);
      const known = Object.keys((error.parentSchema?.['properties'] ?? {}) as object);
      const suggestion = nearest(unknown, known);
      const hint = suggestion === null ? `known are ${known.join(', ')}` : `did you mean ${suggestion}?`;
      return new SettingError(key === '' ? unknown : `${key}.${unknown}`, `unknown key; ${hint}`);
    }
    case 'required':
      return new SettingError(`${key}.${String(params['missingProperty'])}`, 'is missing');
    case 'enum':
      return new SettingError(key, `must be one of ${(params['allowedValues'] as string[]).join(', ')}`);
    case 'pattern':
      return new SettingError(key, 'must be printable ASCII without spaces, because it is sent in an Authorization header');
    case 'format':
      return new SettingError(key, problemOf(String(params['format']), String(error.data)) ?? 'is malformed');
    case 'minItems':
      return new SettingError(key, 'must have at least one entry (use mode "off" to store nothing)');
    case 'type': {
      const hint = params['type'] === 'string' && typeof error.data === 'number' ? ' (put it in quotes)' : '';
      return new SettingError(key, `${error.message ?? 'has the wrong type'}${hint}`);
    }
    default:
      return new SettingError(key, error.message ?? 'is wrong');
  }
}

function problemOf(format: string, value: string): string | null {
  if (format === 'topic filter') return plainFilterProblem(value);
  try {
    parseDuration(value);
    return null;
  } catch (error) {
    return (error as RangeError).message;
  }
}
