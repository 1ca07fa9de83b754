import { useEffect, useState } from 'preact/hooks';

const KEY = 'emqx-offline-store-clients';
const KEPT = 8;

function stored(): readonly string[] {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  } catch {
    return [];
  }
}

/** The clients that the user looked at in this tab, newest first. `seen` is the client that is shown now. */
export function useLastClients(seen: string | null): readonly string[] {
  const [clients, setClients] = useState(stored);
  useEffect(() => {
    if (seen === null) return;
    const next = [seen, ...stored().filter((each) => each !== seen)].slice(0, KEPT);
    sessionStorage.setItem(KEY, JSON.stringify(next));
    setClients(next);
  }, [seen]);
  return clients;
}
