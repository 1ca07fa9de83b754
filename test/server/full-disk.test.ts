import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { publishEvent } from '../support/events';
import { newId } from '../support/messages';
import { ServerProcess } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';

const PAYLOAD = Buffer.alloc(20_000, 'x');
/** More events than fit into what is left of the disk. */
const MOST = 500;
const REFUSALS = 20;

interface Page {
  readonly messages: readonly { readonly id: string }[];
  readonly next: string | null;
}

/** The file of the embedded database can't grow: what a full disk does to it, without the right to mount one. */
describe('the embedded store and queue on a full disk', () => {
  const directory = temporaryDirectory();
  let server: ServerProcess;
  const environment = { DATA_DIR: directory.path };
  beforeAll(async () => {
    server = await ServerProcess.serve(environment);
  }, 60_000);
  afterAll(async () => {
    await server.end('SIGKILL');
    directory.remove();
  });

  const mayGrowTo = (bytes: number | 'unlimited') =>
    void execFileSync('prlimit', ['--pid', String(server.pid), `--fsize=${bytes}:unlimited`]);
  const post = async (id: string): Promise<Response> => server.post('/v1/events', publishEvent({ topic: 'disk/1', id, payload: PAYLOAD }));
  const stored = async (): Promise<string[]> => {
    const ids: string[] = [];
    for (let after = ''; ;) {
      const page = await server.get<Page>(`/v1/messages?topic=disk/1&limit=100${after}`);
      ids.push(...page.messages.map(({ id }) => id));
      if (page.next === null) return ids;
      after = `&after=${encodeURIComponent(page.next)}`;
    }
  };

  // The guards: RetryableError of Environment.explained, and no lmdb promise that nobody waits for.
  it('rejects events with 503, loses no accepted one, and continues afterwards', async () => {
    const accepted: string[] = [];
    const accept = async (id: string): Promise<number> => {
      const answer = await post(id);
      if (answer.status === 202) accepted.push(id);
      else expect(answer.headers.get('retry-after')).not.toBeNull();
      return answer.status;
    };
    for (let i = 0; i < 10; i++) expect(await accept(newId())).toBe(202);
    mayGrowTo(statSync(join(directory.path, 'data.mdb')).size + 500_000);

    const statuses: number[] = [];
    // What is done meanwhile makes a little room.
    const isFull = (): boolean => statuses.length >= REFUSALS && statuses.slice(-REFUSALS).every((status) => status === 503);
    for (let i = 0; i < MOST && !isFull(); i++) statuses.push(await accept(newId()));
    expect(isFull()).toBe(true);
    expect(new Set(statuses)).toEqual(new Set([202, 503]));
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    // What is done meanwhile may have made room for the probe's few bytes, so more events come.
    await waitFor('a check that names the disk', async () => {
      await accept(newId());
      return JSON.stringify(await server.get('/readyz')).includes('cannot be written');
    });

    mayGrowTo('unlimited');
    await waitFor('room', async () => (await accept(newId())) === 202, 30_000);
    await waitFor('all that was accepted', async () => new Set(await stored()).size >= accepted.length, 30_000);
    expect(await stored()).toEqual(expect.arrayContaining(accepted));

    expect(await server.end('SIGKILL')).toBeNull();
    server = await ServerProcess.serve(environment);
    await waitFor('all that was accepted', async () => new Set(await stored()).size >= accepted.length, 30_000);
    expect(await stored()).toEqual(expect.arrayContaining(accepted));
  }, 120_000);
});
