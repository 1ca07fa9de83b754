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
  /** The statements of STORE_SQL_*, for the new store. */
  readonly statements: Statements;
  /** If true, the items are counted and nothing is written. */
  readonly dryRun: boolean;
  /** If true, the store is moved although accepted events wait in the queue. */
  readonly force: boolean;
  readonly now: number;
  readonly onProgress: (counts: Counts) => void;
  readonly onQueueError: (error: Error) => void;
}

/** `moved` is null if nothing was moved because jobs wait in the queue. */
export interface MoveReport extends LeftBehind {
  readonly moved: Moved | null;
}

/** Items of the queue, which stay in DATA_DIR. */
interface LeftBehind {
  /** The number of jobs in the message lanes. */
  readonly jobs: number;
  readonly deadLetters: number;
}

/** Checks the options --from and --to. @returns the URL of the new store. @throws SettingError */
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
  if (target.scheme === 'embedded') throw new SettingError('--to', 'is the embedded store, as --from is: give the URL of another store');
  return target;
}

/**
 * Copies everything in the embedded store in DATA_DIR to another store. DATA_DIR keeps its data.
 * @throws SettingError if DATA_DIR has no database, or a running server uses it
 */
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
    throw new RetryableError(`--to: ${errorText(error)}; repair this and run the same command again: it continues the move`, {
      cause: error,
    });
  } finally {
    await target.close();
  }
}

/** Opens the new store. Errors of the driver name STORE_URL, which is replaced by the option --to. */
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
