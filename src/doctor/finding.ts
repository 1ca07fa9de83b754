/** One line of the doctor. */
export interface Finding {
  /** ok; warning: works, and costs or risks something; problem: messages are lost, repeated or not delivered. */
  readonly verdict: 'ok' | 'warning' | 'problem';
  /** settings, queue, store, emqx, rule NAME, clock, ... */
  readonly about: string;
  readonly detail: string;
  /** What to do; absent when there is nothing to do. */
  readonly remedy?: string;
}

export const ok = (about: string, detail: string): Finding => ({ verdict: 'ok', about, detail });
export const warning = (about: string, detail: string, remedy: string): Finding => ({ verdict: 'warning', about, detail, remedy });
export const problem = (about: string, detail: string, remedy: string): Finding => ({ verdict: 'problem', about, detail, remedy });

/** One line, whatever a server's answer holds. */
export function lineOf({ verdict, about, detail, remedy }: Finding): string {
  const line = `${verdict.padEnd(7)}  ${about}: ${detail}${remedy === undefined ? '' : ` → ${remedy}`}`;
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}
