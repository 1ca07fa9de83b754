export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks every 50 ms until it is done. @throws Error when it failed for good, or the time is over. */
export async function until(
  what: string,
  timeoutMs: number,
  ask: () => Promise<'done' | 'again' | { readonly failed: string }>,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer === 'done') return;
    if (answer !== 'again') throw new Error(`${what} ${answer.failed}`);
    if (Date.now() > deadline) throw new Error(`${what} does not answer`);
    await pause(50);
  }
}

/** Repeats until it does not throw. @returns its result. */
export async function eventually<T>(timeoutMs: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await pause(100);
    }
  }
}
