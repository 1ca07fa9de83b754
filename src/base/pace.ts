/** Wraps a call so that it runs at most once per `ms`, and not before `ms` have passed: short work tells of no progress. */
export function pacedFromNow<T>(ms: number, call: (value: T) => void, now: () => number = () => performance.now()): (value: T) => void {
  let last = now();
  return (value) => {
    if (now() - last < ms) return;
    last = now();
    call(value);
  };
}
