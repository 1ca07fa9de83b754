import { useEffect, useState } from 'preact/hooks';

/**
 * The value after it has not changed for `afterMs`, so that the server is not asked for every key that the user
 * presses.
 */
export function useSettled<T>(value: T, afterMs = 300): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(() => value), afterMs);
    return () => clearTimeout(timer);
  }, [value, afterMs]);
  return settled;
}
