import { useLayoutEffect, useState } from 'preact/hooks';

/**
 * The page and its parameters are in the URL behind #, so that a page can be bookmarked and the server has one HTML
 * file only.
 */
export interface Place {
  readonly page: string;
  readonly query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [page = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  return { page, query: new URLSearchParams(query) };
}

/** Example: link('messages', { filter: 'a/#' }) is `#/messages?filter=a%2F%23`. */
export function link(page: string, query: Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${page}${text === '' ? '' : `?${text}`}`;
}

export function go(page: string, query: Readonly<Record<string, string>> = {}): void {
  location.hash = link(page, query);
}

export function usePlace(): Place {
  const [hash, setHash] = useState(location.hash);
  // A layout effect listens before the next event can arrive. A later one would miss a link that is followed at once.
  useLayoutEffect(() => {
    const follow = (): void => setHash(location.hash);
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return placeOf(hash);
}
