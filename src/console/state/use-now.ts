import { useEffect, useState } from 'preact/hooks';

const RENEWAL_MS = 5_000;

/** The time of day in ms, renewed now and then, for ages on the page. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), RENEWAL_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
