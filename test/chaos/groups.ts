/** What a group of subscribers does with its topics. */
export interface Group {
  readonly filtersOf: (group: string) => readonly string[];
  readonly members: number;
  readonly isPersistent?: boolean;
  readonly slownessMs?: number;
}

const SHARED = 5;
export const GROUPS: readonly Group[] = [
  { filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 1 },
  { filtersOf: (group) => [`t/${group}/#`], members: 1 },
  { filtersOf: (group) => [`t/${group}/+`], members: 1, slownessMs: 5 },
  { filtersOf: (group) => [`t/${group}/#`], members: 1, isPersistent: true },
  // Two that both want the topic.
  { filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 2 },
  { filtersOf: (group) => [`$share/${group}/t/${group}/#`], members: 2 },
];
const LEVELS = ['a', 'b'];

export const groupName = (kind: number, i: number): string => `g${kind}-${i}`;
export const memberName = (group: string, i: number): string => `${group}-${i}`;
export const topicsOf = (group: string): string[] => LEVELS.map((level) => `t/${group}/${level}`);

export interface TopicGroup {
  readonly name: string;
  readonly members: number;
  readonly isShared: boolean;
}

/** Whose topic it is. */
export function groupOf(topic: string): TopicGroup {
  const [, name = '', kind = ''] = /^t\/(g(\d+)-\d+)\//.exec(topic) ?? [];
  return { name, members: GROUPS[Number(kind)]?.members ?? 0, isShared: Number(kind) === SHARED };
}
