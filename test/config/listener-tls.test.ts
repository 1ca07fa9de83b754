import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '../../src/config/load';

const fixture = (name: string) => readFileSync(join(__dirname, '../fixtures/tls', name), 'utf8');
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const FILES: Record<string, string> = {
  'cert.pem': fixture('cert.pem'),
  'key.pem': fixture('key.pem'),
  'other.pem': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  'locked.pem': privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' }).toString(),
  'text.pem': 'hunter2',
};
const readFile = (path: string) => {
  const text = FILES[path];
  if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return text;
};
const load = (cert?: string, key?: string) => loadConfig({ TLS_CERT_FILE: cert, TLS_KEY_FILE: key }, readFile).tls;

test('the listener uses TLS only with both a certificate and a key file', () => {
  expect(load()).toBeNull();
  expect(load('cert.pem', 'key.pem')).toEqual({ cert: FILES['cert.pem'], key: FILES['key.pem'] });
});

test.each([
  ['cert.pem', undefined, /^TLS_KEY_FILE: is missing/],
  [undefined, 'key.pem', /^TLS_CERT_FILE: is missing/],
  ['absent.pem', 'key.pem', /^TLS_CERT_FILE: cannot read absent\.pem: ENOENT$/],
  ['cert.pem', 'absent.pem', /^TLS_KEY_FILE: cannot read absent\.pem: ENOENT$/],
  ['text.pem', 'key.pem', /^TLS_CERT_FILE: text\.pem holds no certificate in PEM$/],
  ['cert.pem', 'text.pem', /^TLS_KEY_FILE: text\.pem holds no private key in PEM without a passphrase$/],
  ['cert.pem', 'locked.pem', /^TLS_KEY_FILE: locked\.pem holds no private key in PEM without a passphrase$/],
  ['cert.pem', 'other.pem', /^TLS_KEY_FILE: other\.pem is not the key of the certificate in cert\.pem$/],
])('%s and %s', (cert, key, message) => {
  expect(() => load(cert, key)).toThrow(ConfigError);
  expect(() => load(cert, key)).toThrow(message);
  expect(() => load(cert, key)).not.toThrow(/hunter2/);
});
