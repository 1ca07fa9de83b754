/** One line of the output of the doctor. */
export interface Finding {
  /** `warning`: it works, but with a cost or a risk. `problem`: messages are lost, repeated or not delivered. */
  readonly verdict: 'ok' | 'warning' | 'problem';
  /** What was checked. Examples: settings, queue, store, emqx, rule NAME, clock. */
  readonly about: string;
  readonly detail: string;
  /** What to do; absent when there is nothing to do. */
  readonly remedy?: string;
}

export const ok = (about: string, detail: string): Finding => ({ verdict: 'ok', about, detail });
export const warning = (about: string, detail: string, remedy: string): Finding => ({ verdict: 'warning', about, detail, remedy });
export const problem = (about: string, detail: string, remedy: string): Finding => ({ verdict: 'problem', about, detail, remedy });

/** One JSON object for all findings. Its keys stay as they are: scripts read them. */
export function jsonOf(findings: readonly Finding[]): string {
  const views = findings.map(({ about, verdict, detail, remedy }) => ({ name: about, verdict, detail, advice: remedy ?? null }));
  return JSON.stringify({ findings: views, ok: findings.every(({ verdict }) => verdict !== 'problem') }, null, 2);
}

/** The finding as one line. Line breaks in the answers of servers become spaces. */
export function lineOf({ verdict, about, detail, remedy }: Finding): string {
  const line = `${verdict.padEnd(7)}  ${about}: ${detail}${remedy === undefined ? '' : ` → ${remedy}`}`;
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}
