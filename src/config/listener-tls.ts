import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { SettingError } from '../base/errors';

/** TLS for our own listener: what the files of TLS_CERT_FILE and TLS_KEY_FILE hold. */
export interface ListenerTls {
  /** PEM; the server's certificate first, then those between it and the authority. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
}

/** @throws SettingError; the messages never quote a file. */
export function listenerTls(settings: Readonly<Record<string, unknown>>, readFile: (path: string) => string): ListenerTls | null {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } = settings;
  if (typeof certFile !== 'string' && typeof keyFile !== 'string') return null;
  if (typeof certFile !== 'string') throw new SettingError('TLS_CERT_FILE', 'is missing, while TLS_KEY_FILE is set: TLS needs both');
  if (typeof keyFile !== 'string') throw new SettingError('TLS_KEY_FILE', 'is missing, while TLS_CERT_FILE is set: TLS needs both');
  const cert = certificateFile('TLS_CERT_FILE', certFile, readFile);
  const key = read('TLS_KEY_FILE', keyFile, readFile);
  const certificate = new X509Certificate(cert);
  const privateKey = attempt('TLS_KEY_FILE', `${keyFile} holds no private key in PEM without a passphrase`, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey))
    throw new SettingError('TLS_KEY_FILE', `${keyFile} is not the key of the certificate in ${certFile}`);
  attempt('TLS_CERT_FILE', `${certFile} and ${keyFile} can't be used for TLS`, () => createSecureContext({ cert, key }));
  return { cert, key };
}

/** What a file with one certificate or more holds. @throws SettingError */
export function certificateFile(setting: string, file: string, readFile: (path: string) => string): string {
  const pem = read(setting, file, readFile);
  attempt(setting, `${file} holds no certificate in PEM`, () => new X509Certificate(pem));
  return pem;
}

function read(setting: string, path: string, readFile: (path: string) => string): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new SettingError(setting, `cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`);
  }
}

/** OpenSSL's own words help nobody, and might quote what it read. */
function attempt<T>(setting: string, problem: string, work: () => T): T {
  try {
    return work();
  } catch {
    throw new SettingError(setting, problem);
  }
}
