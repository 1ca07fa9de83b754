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

/** The lines that say what was moved and what the operator must do next. */
export function moveLines({ moved, jobs, deadLetters }: MoveReport, { dataDir, to, queue, dryRun }: MoveNames): string[] {
  if (moved === null) {
    return [
      `nothing was moved: accepted events wait in the queue of ${dataDir} to be written to the store (jobs: ${jobs})`,
      'start the server with the old settings, wait until /v1/stats shows no jobs in the lanes messages-*, stop it, and move again;',
      'or move now with --force: the server writes these events to the new store if you change STORE_URL only, and keep QUEUE_URL and DATA_DIR',
    ];
  }
  const [title, past] = dryRun ? ['would be moved', 'nothing was written'] : ['moved', 'DATA_DIR still has all of it'];
  const { counts, expired, refused, refusals } = moved;
  return [
    `${title} from ${dataDir} to ${to} (${past}):`,
    ...KINDS.map((kind) => `  ${kind}: ${counts[kind]}`),
    ...(expired > 0 ? [`expired and not moved: ${expired} messages`] : []),
    ...(refused > 0
      ? [`rejected by the new store: ${refused}${refused > refusals.length ? `, the first ${refusals.length} of them` : ''}`]
      : []),
    ...refusals.map(({ id, reason }) => `  ${id}: ${reason}`),
    ...(deadLetters > 0
      ? [
          `dead letters that stay in the queue in ${dataDir}: ${deadLetters}; GET /v1/dead-letters/export returns them while QUEUE_URL is embedded:`,
        ]
      : []),
    ...(jobs > 0
      ? [
          `jobs that wait in the queue of ${dataDir}: ${jobs}; ${dryRun ? 'while jobs wait, a move needs --force' : 'do not change QUEUE_URL and DATA_DIR until these jobs are done'}`,
        ]
      : []),
    ...(dryRun ? [] : next(to, queue)),
  ];
}

function next(to: ServiceUrl, queue: ServiceUrl): string[] {
  const stays =
    queue.scheme === 'embedded' ? 'may stay embedded:, or may be changed when all lanes in /v1/stats are empty' : 'stays unchanged';
  return [
    `now set STORE_URL=${to} (with its password) and start the server; QUEUE_URL ${stays}`,
    'after the server has used the new store, do not move again: messages that the server deleted there would come back',
  ];
}
