import type { Config } from './config';

/** Addresses of all interfaces: nothing can be sent to one from elsewhere. */
const ANY = /^\[?(0\.0\.0\.0|::|0:0:0:0:0:0:0:0)\]?$/;

/** The server's own address; null: HOST is every interface, and which of their names EMQX can use nobody knows but the operator. */
export function ownUrl({ host, port, tls }: Pick<Config, 'host' | 'port' | 'tls'>): string | null {
  if (ANY.test(host)) return null;
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return `${tls === null ? 'http' : 'https'}://${bare.includes(':') ? `[${bare}]` : bare}:${port}`;
}
