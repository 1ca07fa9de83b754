import type { Config } from '../config/config';
import { errorText, SettingError } from '../base/errors';

/** Turns an error of listening into one that names the setting to change. Other errors are returned unchanged. */
export function listenError({ host, port }: Pick<Config, 'host' | 'port'>, error: unknown): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new SettingError('PORT', `${port} is in use by another program; stop that program or set PORT to another port`);
    case 'EACCES':
    case 'EPERM':
      return new SettingError(
        'PORT',
        `this user may not listen on ${port}; set PORT to 1024 or higher, or give this user the right to listen on it`,
      );
    case 'EADDRNOTAVAIL':
      return new SettingError(
        'HOST',
        `${host} is not an address of this machine; set HOST to one of its addresses, to 127.0.0.1 or to 0.0.0.0`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
      return new SettingError('HOST', `the name ${host} cannot be resolved; set HOST to an address of this machine`);
    case 'EINVAL':
    case 'EAFNOSUPPORT':
      return new SettingError(
        'HOST',
        `this machine cannot listen on ${host} (${errorText(error)}); set HOST to an address of this machine`,
      );
    case undefined:
    default:
      return error;
  }
}
