/** The pages in the order of the navigation; `key` comes after g. */
export const PAGES = [
  { id: 'overview', key: 'o', title: 'Overview' },
  { id: 'topics', key: 't', title: 'Topics' },
  { id: 'messages', key: 'm', title: 'Messages' },
  { id: 'clients', key: 'c', title: 'Clients' },
  { id: 'dead-letters', key: 'd', title: 'Dead letters' },
  { id: 'retained', key: 'r', title: 'Retained' },
  { id: 'set-up', key: 's', title: 'Set-up' },
] as const;

export type PageId = (typeof PAGES)[number]['id'];
