import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as fc from 'fast-check';
import { Stub } from '../emqx/stub';
import { freePort } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { cases, type Case } from './cases';
import { Target } from './target';

/** The rate of cases, not the depth of any one of them, finds what grows. */
const PARALLEL = 32;
const BATCH = 1_000;
const MEGABYTE = 1024 * 1024;
/** What the heap may have more at the end than after the first tenth, and all of the process, its database included. */
const MAX_HEAP_GROWTH = 40 * MEGABYTE;
const MAX_RSS_GROWTH = 200 * MEGABYTE;

interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
}

/** The real server in a process of its own; STORE_URL and QUEUE_URL of the environment, or the embedded default. */
class Subject {
  output = '';
  /** Lines at level error or fatal, and what is not a line of the log. */
  readonly complaints: string[] = [];
  exited: number | null = null;
  private readonly memories: Memory[] = [];

  constructor(private readonly child: ChildProcess) {
    child.once('exit', (code) => (this.exited = code ?? -1));
    let rest = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.read(line);
      });
  }

  private read(line: string): void {
    if (line.startsWith('MEMORY ')) return void this.memories.push(JSON.parse(line.slice(7)) as Memory);
    if (this.output.length < MEGABYTE) this.output += `${line}\n`;
    if (/"level":"(error|fatal)"|Unhandled|UnhandledPromise|^\s+at /.test(line) && this.complaints.length < 20) this.complaints.push(line);
  }

  async memory(): Promise<Memory> {
    const before = this.memories.length;
    this.child.kill('SIGUSR2');
    return waitFor('the memory', () => this.memories[before], 60_000);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await waitFor('the end', () => this.exited !== null, 20_000);
  }
}

async function start(directory: string, emqx: string): Promise<{ subject: Subject; url: string }> {
  const port = await freePort();
  const { STORE_URL = '', QUEUE_URL = '', PATH = '' } = process.env;
  const POLICIES = JSON.stringify([{ filter: '#', retain: 'store', storeQos0: true, maxStored: 1_000 }]);
  const env = {
    PATH,
    PORT: String(port),
    DATA_DIR: directory,
    STORE_URL,
    QUEUE_URL,
    POLICIES,
    EMQX_URL: emqx,
    EMQX_API_KEY: 'k',
    EMQX_API_SECRET: 'secret',
  };
  const options = { cwd: join(__dirname, '../..'), env, stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'] };
  const subject = new Subject(spawn(process.execPath, ['--expose-gc', '--import', 'tsx', join(__dirname, 'server.ts'), 'serve'], options));
  await waitFor('the server', () => subject.output.includes('"msg":"ready"') || subject.exited !== null, 60_000);
  return { subject, url: `http://127.0.0.1:${port}` };
}

/** Nobody is there: what is stored stays, and every delivery ends. */
function absentClients(): Promise<Stub> {
  const nobody = { reason_code: 16, message: 'no_matching_subscribers' };
  return Stub.start(({ path, json }) => {
    if (path.endsWith('/publish/bulk')) return { status: 202, body: (json as unknown[]).map(() => nobody) };
    if (path.endsWith('/publish')) return { status: 202, body: nobody };
    return { status: 404, body: { code: 'CLIENTID_NOT_FOUND' } };
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { cases: { type: 'string', default: '100000' }, seed: { type: 'string', default: String(Date.now() % 2 ** 31) } },
  });
  const [count, seed] = [Number(values.cases), Number(values.seed)];
  const directory = temporaryDirectory();
  const emqx = await absentClients();
  const { subject, url } = await start(directory.path, emqx.url);
  const target = new Target(url);
  const statuses: Record<string, number> = {};
  const flaws: string[] = [];
  const check = async (one: Case): Promise<void> => {
    const found = await target.send(one).then(
      (answer) => {
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        return target.flawOf(answer, one.path);
      },
      (error) => `was not answered: ${String(error)}`,
    );
    if (found !== null && flaws.length < 20)
      flaws.push(`${one.path} ${JSON.stringify(one.headers)} ${one.body.toString().slice(0, 500)}\n  ${found}`);
  };
  console.log(`fuzz of POST /v1/events: ${count} cases, seed ${seed}`);
  const began = Date.now();
  let warm: Memory | null = null;
  for (let done = 0; done < count && subject.exited === null;) {
    const batch = fc.sample(cases, { numRuns: Math.min(BATCH, count - done), seed: seed + done });
    const next = batch.values();
    await Promise.all(
      Array.from({ length: PARALLEL }, async () => {
        for (const one of next) await check(one);
      }),
    );
    done += batch.length;
    if (done % (10 * BATCH) === 0)
      console.log(
        `${done} cases, ${((Date.now() - began) / 1000).toFixed(0)} s, ${JSON.stringify(((await subject.memory()).heapUsed / MEGABYTE) | 0)} MB of heap`,
      );
    if (warm === null && done >= count / 10) warm = await subject.memory();
  }
  const seconds = (Date.now() - began) / 1000;
  const end = subject.exited === null ? await subject.memory() : null;
  console.log(`answered in ${seconds.toFixed(0)} s (${(count / seconds).toFixed(0)} a second): ${JSON.stringify(statuses)}`);
  for (const [name, memory] of [
    ['after a tenth', warm],
    ['at the end', end],
  ] as const) {
    const { rss = 0, heapUsed = 0, external = 0 } = memory ?? {};
    const mb = (bytes: number) => `${(bytes / MEGABYTE).toFixed(0)} MB`;
    console.log(`memory ${name}: RSS ${mb(rss)}, heap after gc ${mb(heapUsed)}, external ${mb(external)}`);
  }
  const health = subject.exited === null ? await (await fetch(`${url}/v1/stats`)).json() : null;
  console.log(`stats: ${JSON.stringify(health)}`);
  if (subject.exited === null) await subject.stop();
  target.close();
  await emqx.stop();
  directory.remove();
  if (warm === null || end === null) flaws.push(`the server ended with ${subject.exited}`);
  else {
    if (end.heapUsed - warm.heapUsed > MAX_HEAP_GROWTH) flaws.push('the heap grew');
    if (end.rss - warm.rss > MAX_RSS_GROWTH) flaws.push('the process grew');
  }
  flaws.push(...subject.complaints);
  for (const flaw of flaws) console.log(`FLAW ${flaw}`);
  console.log(flaws.length === 0 ? 'no flaw' : `${flaws.length} flaws`);
  process.exitCode = flaws.length === 0 ? 0 : 1;
}

void main();
