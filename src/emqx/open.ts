import type { EmqxApi } from './api';
import { EmqxV4 } from './v4';
import { EmqxV5, type EmqxV5Options } from './v5';

/** The client for the EMQX generation that EMQX_URL names. */
export function openEmqx(version: 4 | 5, options: EmqxV5Options): EmqxApi {
  return version === 4 ? new EmqxV4(options) : new EmqxV5(options);
}
