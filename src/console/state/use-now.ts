import { useEffect, useState } from 'preact/hooks';

/** The time of day in ms, renewed every `everyMs`, for ages on the page. */
export function useNow(everyMs = 5_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
