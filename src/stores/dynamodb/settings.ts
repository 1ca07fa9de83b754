import { tlsOf } from '../../config/tls';
import type { ServiceUrl } from '../../config/url';
import { SettingError } from '../../base/errors';

export interface DynamoSettings {
  readonly region: string;
  /** null for Amazon's own endpoint of the region. */
  readonly endpoint: string | null;
  /** null for the SDK's default chain (environment, shared files, web identity, container, instance). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null;
  /** The beginning of each table's name. */
  readonly prefix: string;
  readonly ca: Buffer | null;
}

const KEY = 'STORE_URL';
const PARAMS = ['endpoint', 'prefix', 'ca'];
/** Examples: us-east-1, us-gov-west-1, eusc-de-east-1. */
const REGION = /^[a-z]{2,}(-[a-z]+)+-\d+$/;
/** A table name may have 255 characters, and the longest one is mqtt_offline_migration. */
const PREFIX = /^[A-Za-z0-9_.-]{0,230}$/;

const wrong = (message: string): SettingError => new SettingError(KEY, message);

/**
 * `dynamodb://ACCESS_KEY:SECRET@region?endpoint=URL&prefix=name_&ca=FILE`
 * @throws SettingError
 */
export function settingsOf(url: ServiceUrl): DynamoSettings {
  const { params, hosts, path, port } = url;
  const unknown = Object.keys(params).find((name) => !PARAMS.includes(name));
  if (unknown !== undefined) throw wrong(`?${unknown}= is unknown; known are ${PARAMS.join(', ')} (TLS is by the endpoint's https://)`);
  if (hosts.length !== 1 || port !== null || path !== '')
    throw wrong('must be dynamodb://region, such as dynamodb://eu-central-1; a server of your own is endpoint=');
  const prefix = params['prefix'] ?? '';
  if (!PREFIX.test(prefix)) throw wrong('prefix= may have letters, digits and _ . - only, 230 at most');
  const endpoint = endpointOf(params['endpoint']);
  const region = hosts[0]?.host ?? '';
  // Servers other than Amazon's accept any region.
  if (endpoint === null && !REGION.test(region))
    throw wrong(`"${region}" is no AWS region; write one such as eu-central-1 after dynamodb://`);
  const ca = tlsOf(url, KEY)?.ca ?? null;
  if (ca !== null && endpoint?.startsWith('https://') !== true) throw wrong('ca= needs an endpoint= that begins with https://');
  return { region, endpoint, credentials: credentialsOf(url), prefix, ca };
}

function endpointOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const endpoint = URL.canParse(text) ? new URL(text) : null;
  if (endpoint === null || !['http:', 'https:'].includes(endpoint.protocol)) throw wrong('endpoint= must be an http:// or https:// URL');
  if (endpoint.username !== '' || endpoint.password !== '')
    throw wrong('endpoint= must not hold credentials: write them before the region');
  return endpoint.href;
}

function credentialsOf({ user, password }: ServiceUrl): DynamoSettings['credentials'] {
  if (user === null && password === null) return null;
  if (user === null || password === null || user === '' || password === '') {
    throw wrong('needs both ACCESS_KEY:SECRET before the region, or neither (then the AWS default chain is asked)');
  }
  return { accessKeyId: user, secretAccessKey: password };
}
