import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { stopWhoDelivers } from './delivering';
import type { SupervisedServer } from './servers';

/** Asks for the address again and again. */
const CLIENT = `setInterval(() => fetch(process.argv[1]).catch(() => undefined), 20)`;

describe('the search for the delivering server', () => {
  let api: Server;
  beforeEach(async () => {
    api = createServer((_request, response) => response.end());
    await once(api.listen(0, '127.0.0.1'), 'listening');
  });
  afterEach(() => api.close());
  const urlOf = (path: string) => `http://127.0.0.1:${(api.address() as AddressInfo).port}${path}`;

  it('finds the server whose connection to EMQX carries a publish', async () => {
    const children = ['/nodes', '/publish/bulk'].map((path) => spawn(process.execPath, ['-e', CLIENT, urlOf(path)]));
    const servers = children.map((child, i) => ({ name: `s${i}`, pid: child.pid ?? null }) as SupervisedServer);
    const stopped: string[] = [];
    const found = await stopWhoDelivers(api, servers, 20_000, ({ name }) => stopped.push(name));
    for (const child of children) child.kill('SIGKILL');
    api.closeAllConnections();
    expect([found?.name, stopped]).toEqual(['s1', ['s1']]);
  });

  it('finds no server when nothing is published', async () => {
    expect(await stopWhoDelivers(api, [], 10, () => undefined)).toBeNull();
  });
});
