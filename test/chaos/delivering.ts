import type { IncomingMessage, Server } from 'node:http';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { SupervisedServer } from './servers';

/**
 * The server whose publish EMQX's API has just got and not answered yet: it is in the middle of a delivery, and is stopped there at once.
 * @returns null when nobody delivers for so long, or the machine has no /proc.
 */
export function stopWhoDelivers(
  api: Server,
  servers: readonly SupervisedServer[],
  lookMs: number,
  stop: (server: SupervisedServer) => void,
): Promise<SupervisedServer | null> {
  return new Promise((resolve) => {
    const end = (server: SupervisedServer | null) => {
      clearTimeout(timer);
      api.off('request', look);
      if (server !== null) stop(server);
      resolve(server);
    };
    const look = ({ url = '', socket }: IncomingMessage) => {
      if (!url.includes('/publish')) return;
      const inode = inodeOfPort(socket.remotePort ?? 0);
      const server = servers.find(({ pid }) => pid !== null && hasSocket(pid, inode));
      if (server !== undefined) end(server);
    };
    const timer = setTimeout(() => end(null), lookMs);
    api.prependListener('request', look);
  });
}

/** Linux's number of the socket that is bound to the local port; null: there is none. */
function inodeOfPort(port: number): string | null {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  // sl, local_address, rem_address, st, tx_queue:rx_queue, tr:tm->when, retrnsmt, uid, timeout, inode
  const columns = readOr('/proc/net/tcp')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return columns.find(([, address = '']) => address.endsWith(local))?.[9] ?? null;
}

function hasSocket(pid: number, inode: string | null): boolean {
  if (inode === null) return false;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOr(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    // It has just exited.
    return false;
  }
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // No Linux.
    return '';
  }
}

function linkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed meanwhile.
    return '';
  }
}
