import { useEffect, useState } from 'preact/hooks';

const SETTLED_MS = 300;

/**
 * The value after it has not changed for SETTLED_MS, so that the server is not asked for every key that the user
 * presses.
 */
export function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(() => value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
