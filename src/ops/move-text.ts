import type { ServiceUrl } from '../config/url';
import type { MoveReport } from './move-embedded';
import { KINDS, type Counts } from './moving';

export interface MoveNames {
  readonly dataDir: string;
  readonly to: ServiceUrl;
  readonly queue: ServiceUrl;
  readonly dryRun: boolean;
}

export function progressLine(counts: Counts): string {
  return KINDS.map((kind) => `${counts[kind]} ${kind}`).join(', ');
}

/** What a move did, and what is to be done then. */
export function moveLines({ moved, jobs, deadLetters }: MoveReport, { dataDir, to, queue, dryRun }: MoveNames): string[] {
  if (moved === null) {
    return [
      `nothing was moved: accepted events wait in the queue of ${dataDir} to be written to the store (jobs: ${jobs})`,
      'start the server as before until /v1/stats shows none in the lanes messages-*, stop it, and move then;',
      'or move now with --force: a server with STORE_URL set to the new store and QUEUE_URL and DATA_DIR as they are writes them there',
    ];
  }
  const [title, past] = dryRun ? ['would be moved', 'nothing was written'] : ['moved', 'DATA_DIR still has all of it'];
  const { counts, expired, refused, refusals } = moved;
  return [
    `${title} from ${dataDir} to ${to} (${past}):`,
    ...KINDS.map((kind) => `  ${kind}: ${counts[kind]}`),
    ...(expired > 0 ? [`left out, as they have expired: ${expired} messages`] : []),
    ...(refused > 0
      ? [`refused by the new store: ${refused}${refused > refusals.length ? `, the first ${refusals.length} of them` : ''}`]
      : []),
    ...refusals.map(({ id, reason }) => `  ${id}: ${reason}`),
    ...(deadLetters > 0
      ? [
          `dead letters that stay in ${dataDir}, with the queue: ${deadLetters}; GET /v1/dead-letters/export has them while QUEUE_URL is embedded:`,
        ]
      : []),
    ...(jobs > 0
      ? [
          `jobs that wait in the queue of ${dataDir}: ${jobs}; ${dryRun ? 'without --force nothing is moved while there are any' : 'keep QUEUE_URL and DATA_DIR as they are until they are done'}`,
        ]
      : []),
    ...(dryRun ? [] : next(to, queue)),
  ];
}

function next(to: ServiceUrl, queue: ServiceUrl): string[] {
  const stays = queue.scheme === 'embedded' ? 'may stay embedded:, or move, too, when all lanes in /v1/stats are empty' : 'stays as it is';
  return [
    `now set STORE_URL=${to} (with its password) and start the server; QUEUE_URL ${stays}`,
    'once the server has worked on the new store, do not move again: what it has removed there would be back',
  ];
}
