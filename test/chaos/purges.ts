import { BUSY } from './busy';

/** Short, as against a purge of some hundred messages. ms. */
const EVERY_MS = 50;

/** Sees what everybody has read go from the busy topic: the oldest message of it is another one. */
export class Purges {
  private oldest: string | null = null;
  private timer: NodeJS.Timeout | null = null;
  private asking: Promise<void> | null = null;

  constructor(
    private readonly url: string,
    /** Something was removed. */
    private readonly note: () => void,
  ) {}

  start(): void {
    // A server that is away is asked again.
    this.timer = setInterval(
      () =>
        (this.asking ??= this.ask()
          .catch(() => undefined)
          .finally(() => (this.asking = null))),
      EVERY_MS,
    );
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  private async ask(): Promise<void> {
    const answer = await fetch(`${this.url}/v1/messages?topic=${encodeURIComponent(BUSY.topics[0] ?? '')}&limit=1`);
    const { messages } = (await answer.json()) as { messages: { id: string }[] };
    const id = messages[0]?.id ?? null;
    if (this.oldest !== null && id !== this.oldest) this.note();
    this.oldest = id;
  }
}
