import type { Logger } from '../../base/log';
import { pacedFromNow } from '../../base/pace';

/** How often a restore that takes long tells in the log how far it is. */
const PROGRESS_MS = 5_000;

interface Progress {
  published: number;
  readonly tell: () => void;
}

/**
 * Counts what the restores that are under way have published. A restore that another process began is counted from
 * where this process goes on with it.
 */
export class RestoreProgress {
  private readonly restores = new Map<string, Progress>();

  constructor(
    private readonly log: Pick<Logger, 'info'>,
    private readonly now: () => number,
  ) {}

  add(filter: string, published: number): void {
    const progress = this.restores.get(filter) ?? this.begin(filter);
    progress.published += published;
    progress.tell();
  }

  /** @returns how many messages the restore has published. */
  end(filter: string): number {
    const published = this.restores.get(filter)?.published ?? 0;
    this.restores.delete(filter);
    return published;
  }

  private begin(filter: string): Progress {
    const log = pacedFromNow(
      PROGRESS_MS,
      ({ published }: Progress) => this.log.info({ filter, published }, 'restore: retained messages are being published'),
      this.now,
    );
    const progress: Progress = { published: 0, tell: () => log(progress) };
    this.restores.set(filter, progress);
    return progress;
  }
}
