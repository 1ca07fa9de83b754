import { readFileSync } from 'node:fs';
import { SettingError } from '../base/errors';
import type { ServiceUrl } from './url';

/** Options of `tls.connect`, and of libraries that accept the same options. */
export interface TlsOptions {
  readonly ca?: Buffer;
}

/**
 * Reads the parameters `tls` and `ca` of a URL. `?tls=true` turns TLS on. `?ca=FILE` (PEM) does so too, and names the
 * authority that must have signed the certificate. The certificate is always verified.
 * @returns null for a connection without TLS.
 * @throws SettingError
 */
export function tlsOf({ params }: ServiceUrl, setting: string): TlsOptions | null {
  const { tls, ca } = params;
  if (tls !== undefined && tls !== 'true' && tls !== 'false')
    throw new SettingError(setting, `tls=${tls} is unknown; write tls=true or tls=false`);
  if (tls === 'false' && ca !== undefined) throw new SettingError(setting, 'tls=false and ca= contradict each other: remove one of them');
  if (ca !== undefined) return { ca: readPem(ca, 'ca', setting) };
  return tls === 'true' ? {} : null;
}

/** Reads a PEM file. @throws SettingError that names the parameter. */
export function readPem(file: string, param: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new SettingError(setting, `the file of ${param}= can't be read (${(error as NodeJS.ErrnoException).code ?? ''})`);
  }
}
