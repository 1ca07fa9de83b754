import { errorText, RetryableError, SettingError } from '../base/errors';
import { parseStoreUrl } from '../config/load';
import type { Statements } from '../config/statements';
import type { ServiceUrl } from '../config/url';
import { Environment, requireDatabase } from '../embedded/environment';
import { EmbeddedQueue } from '../lanes/embedded';
import { messageLane } from '../lanes/names';
import { openStore } from '../stores';
import { EmbeddedStore } from '../stores/embedded';
import type { Store } from '../stores/store';
import { copyAll, type Counts, type Moved } from './moving';

export interface MoveRequest {
  readonly dataDir: string;
  readonly to: ServiceUrl;
  /** STORE_SQL_* */
  readonly statements: Statements;
  /** Counts, and writes nothing. */
  readonly dryRun: boolean;
  /** Although events wait in the queue. */
  readonly force: boolean;
  readonly now: number;
  readonly onProgress: (counts: Counts) => void;
  readonly onQueueError: (error: Error) => void;
}

/** `moved`: null when nothing was, as jobs wait in the queue. */
export interface MoveReport extends LeftBehind {
  readonly moved: Moved | null;
}

/** What stays in DATA_DIR. */
interface LeftBehind {
  /** Jobs of the message lanes. */
  readonly jobs: number;
  readonly deadLetters: number;
}

/** The options --from and --to. @returns where to. @throws SettingError */
export function checkMove(from: string | undefined, to: string | undefined): ServiceUrl {
  if (from === undefined || to === undefined) {
    const [missing, given] = from === undefined ? ['--from', '--to'] : ['--to', '--from'];
    throw new SettingError(
      missing,
      `is missing, while ${given} is given: a move needs both, such as --from embedded: --to postgres://user:password@host/database`,
    );
  }
  const [source, target] = [parseStoreUrl('--from', from), parseStoreUrl('--to', to)];
  if (source.scheme !== 'embedded')
    throw new SettingError('--from', `must be embedded:, not ${source.scheme}:// (only the embedded store can be moved)`);
  if (target.scheme === 'embedded') throw new SettingError('--to', 'is the same as --from: name another store');
  return target;
}

/** Moves what the store in DATA_DIR holds to another store. DATA_DIR keeps it all. @throws SettingError when DATA_DIR has no database, or a server works on it */
export async function moveEmbedded(request: MoveRequest): Promise<MoveReport> {
  requireDatabase(request.dataDir);
  const environment = await Environment.open(request.dataDir);
  try {
    const left = await leftBehind(environment, request.onQueueError);
    const mayMove = left.jobs === 0 || request.force || request.dryRun;
    return { ...left, moved: mayMove ? await move(environment, request) : null };
  } finally {
    await environment.close();
  }
}

async function move(environment: Environment, { to, statements, dryRun, now, onProgress }: MoveRequest): Promise<Moved> {
  const source = new EmbeddedStore(environment);
  const { ok, detail } = await source.health();
  if (!ok) throw new Error(`--from: ${detail}`);
  if (dryRun) return copyAll(source, null, { now, onProgress });
  const target = await openTarget(to, statements);
  try {
    await target.migrate();
    return await copyAll(source, target, { now, onProgress });
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    throw new RetryableError(`--to: ${errorText(error)}; when that is over, give the same command again: it completes what was begun`, {
      cause: error,
    });
  } finally {
    await target.close();
  }
}

/** Drivers speak of the setting. */
async function openTarget(to: ServiceUrl, statements: Statements): Promise<Store> {
  try {
    return await openStore(to, null, statements);
  } catch (error) {
    throw error instanceof SettingError ? new SettingError('--to', error.message.replace(`${error.key}: `, '')) : error;
  }
}

async function leftBehind(environment: Environment, onError: (error: Error) => void): Promise<LeftBehind> {
  const backend = new EmbeddedQueue(environment, onError);
  const count = async (name: string): Promise<number> => {
    const queue = backend.queue(name);
    try {
      const counts = await queue.getJobCounts('waiting', 'active', 'delayed');
      return Object.values(counts).reduce((sum, each) => sum + each, 0);
    } finally {
      await queue.close();
    }
  };
  const jobs = await Promise.all(Array.from({ length: backend.laneCounts.messages }, (_, lane) => count(messageLane(lane))));
  const deadLetters = await count('dead-letters');
  await backend.close();
  return { jobs: jobs.reduce((sum, each) => sum + each, 0), deadLetters };
}
