/** A flaw of a rule that posts to this server: what happens because of it, and what to do. */
export interface Flaw {
  /**
   * True if messages are lost, arrive in the wrong order or stay undelivered. False if the flaw only costs performance
   * or details.
   */
  readonly grave: boolean;
  readonly text: string;
  readonly remedy: string;
}

export function flawIf(is: boolean, grave: boolean, text: string, remedy: string): Flaw[] {
  return is ? [{ grave, text, remedy }] : [];
}
