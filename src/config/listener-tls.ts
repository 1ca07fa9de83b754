import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { SettingError } from '../base/errors';

/** The content of TLS_CERT_FILE and TLS_KEY_FILE, for the server's own listener. */
export interface ListenerTls {
  /** PEM: the server's certificate, then the intermediate certificates. */
  readonly cert: string;
  /** PEM without a passphrase. */
  readonly key: string;
}

/** @returns null if TLS is not configured. @throws SettingError whose message does not quote the files. */
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

/** Reads a PEM file with one or more certificates. @throws SettingError */
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

/** Replaces the errors of OpenSSL, because they do not help an operator and might quote the file. */
function attempt<T>(setting: string, problem: string, work: () => T): T {
  try {
    return work();
  } catch {
    throw new SettingError(setting, problem);
  }
}
