import { readFileSync } from 'node:fs';
import { SettingError } from '../base/errors';
import type { ServiceUrl } from './url';

/** For `tls.connect` and what takes its options. */
export interface TlsOptions {
  readonly ca?: Buffer;
}

/**
 * `?tls=true` turns TLS on, the server's certificate is always verified; `?ca=FILE` (PEM) verifies it with a certificate authority of
 * your own and turns TLS on as well. @returns null: no TLS. @throws SettingError
 */
export function tlsOf({ params }: ServiceUrl, setting: string): TlsOptions | null {
  const { tls, ca } = params;
  if (tls !== undefined && tls !== 'true' && tls !== 'false')
    throw new SettingError(setting, `tls=${tls} is unknown; write tls=true or tls=false`);
  if (tls === 'false' && ca !== undefined) throw new SettingError(setting, 'tls=false and ca= contradict each other');
  if (ca !== undefined) return { ca: readPem(ca, 'ca', setting) };
  return tls === 'true' ? {} : null;
}

/** @throws SettingError that names the parameter. */
export function readPem(file: string, param: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new SettingError(setting, `the file of ${param}= can't be read (${(error as NodeJS.ErrnoException).code ?? ''})`);
  }
}
