import type { Config } from './config';

/** These addresses stand for all interfaces, so EMQX cannot connect to them. */
const ANY = /^\[?(0\.0\.0\.0|::|0:0:0:0:0:0:0:0)\]?$/;

/**
 * The server's own address; null if HOST stands for all interfaces. Then only the operator knows which address EMQX can
 * reach.
 */
export function ownUrl({ host, port, tls }: Pick<Config, 'host' | 'port' | 'tls'>): string | null {
  if (ANY.test(host)) return null;
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return `${tls === null ? 'http' : 'https'}://${bare.includes(':') ? `[${bare}]` : bare}:${port}`;
}
