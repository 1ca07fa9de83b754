/** How a subscriber comes, goes and acknowledges. Times in ms. */
export interface Manner {
  /** Its session outlives its connections. */
  readonly isPersistent?: boolean;
  /** It takes so long for a message. */
  readonly slownessMs?: number;
  /** Its acknowledgements leave all at once, after a pause between these. */
  readonly burstMs?: readonly [number, number];
  /** It stays away until so many messages wait for it. */
  readonly awayUntil?: number;
  /** It stays so long; 50 to 4,000 by default. */
  readonly staysMs?: readonly [number, number];
  /** It comes, and when it comes back (`awayUntil`) it stays; without `awayUntil` it stays at once. */
  readonly stays?: boolean;
}

/** What a group of subscribers does with its topics. */
export interface Group {
  readonly kind: string;
  readonly filtersOf: (group: string) => readonly string[];
  readonly members: number;
  readonly manner?: Manner;
  /** How many times as many messages as others its topics get; 1 by default. */
  readonly weight?: number;
}

/** More than a window (100). */
const BACKLOG = 110;

export const GROUPS = [
  { kind: 'exact', filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 1 },
  { kind: 'wildcard', filtersOf: (group) => [`t/${group}/#`], members: 1 },
  { kind: 'slow', filtersOf: (group) => [`t/${group}/+`], members: 1, manner: { slownessMs: 5 } },
  { kind: 'persistent', filtersOf: (group) => [`t/${group}/#`], members: 1, manner: { isPersistent: true } },
  // Two that both want the topic.
  { kind: 'pair', filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`], members: 2 },
  { kind: 'shared', filtersOf: (group) => [`$share/${group}/t/${group}/#`], members: 2 },
  { kind: 'burst', filtersOf: (group) => [`t/${group}/#`], members: 1, weight: 4, manner: { awayUntil: BACKLOG, burstMs: [100, 800] } },
  {
    kind: 'crawl',
    filtersOf: (group) => [`t/${group}/a`, `t/${group}/b`],
    members: 1,
    weight: 4,
    manner: { awayUntil: BACKLOG, slownessMs: 10 },
  },
  { kind: 'resume', filtersOf: (group) => [`t/${group}/+`], members: 1, weight: 2, manner: { isPersistent: true, burstMs: [100, 2_500] } },
] as const satisfies readonly Group[];

export type KindName = (typeof GROUPS)[number]['kind'];
export const ORDINARY: readonly KindName[] = GROUPS.map(({ kind }) => kind);

const LEVELS = ['a', 'b'];

export const groupName = (kind: number, i: number): string => `g${kind}-${i}`;
export const memberName = (group: string, i: number): string => `${group}-${i}`;
export const topicsOf = (group: string): string[] => LEVELS.map((level) => `t/${group}/${level}`);
