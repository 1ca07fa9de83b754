/** What is wrong with a rule that posts to us: what happens because of it, and what to do. */
export interface Flaw {
  /** Messages are lost, come in the wrong order or stay undelivered; otherwise it is a cost or a loss of detail. */
  readonly grave: boolean;
  readonly text: string;
  readonly remedy: string;
}

export function flawIf(is: boolean, grave: boolean, text: string, remedy: string): Flaw[] {
  return is ? [{ grave, text, remedy }] : [];
}
