import { BUSY } from './busy';
import { GROUPS, groupName, memberName, topicsOf, type Group, type KindName, type Manner } from './groups';
import { hostileParts } from './hostile';

/** A group of subscribers as it takes part in a round. */
export interface Part {
  readonly kind: string;
  readonly name: string;
  readonly topics: readonly string[];
  readonly filters: readonly string[];
  /** Client ids. */
  readonly members: readonly string[];
  readonly isShared: boolean;
  readonly manner: Manner;
  readonly weight: number;
  /** false: EMQX's API cannot be asked for what its delivery needs. Nothing is owed to it, and it must not be in anybody's way. */
  readonly isServed: boolean;
}

export interface CastOptions {
  readonly kinds: readonly KindName[];
  /** How many groups of each kind. */
  readonly groups: number;
  /** Instead of the kinds' own. */
  readonly manners?: Partial<Record<KindName, Manner>>;
  /** Beside them. */
  readonly hostile?: boolean;
  readonly busy?: boolean;
  /** Deliveries go to each client's inbox. */
  readonly isInbox?: boolean;
}

/** Everybody who takes part, and whose topic is whose. */
export class Cast {
  private readonly byTopic = new Map<string, Part>();

  constructor(readonly parts: readonly Part[]) {
    for (const part of parts) for (const topic of part.topics) this.byTopic.set(topic, part);
  }

  static of({ kinds, groups, manners = {}, hostile = false, busy = false, isInbox = false }: CastOptions): Cast {
    const ordinary = GROUPS.flatMap((group: Group, kind) =>
      (kinds as readonly string[]).includes(group.kind)
        ? Array.from({ length: groups }, (_, i) =>
            ordinaryPart({ ...group, manner: manners[group.kind as KindName] ?? group.manner ?? {} }, groupName(kind, i)),
          )
        : [],
    );
    return new Cast([...ordinary, ...(hostile ? hostileParts(isInbox) : []), ...(busy ? [BUSY] : [])]);
  }

  partOf(topic: string): Part {
    const part = this.byTopic.get(topic);
    if (part === undefined) throw new RangeError(`nobody's topic: ${topic}`);
    return part;
  }
}

function ordinaryPart({ kind, filtersOf, members, manner = {}, weight = 1 }: Group, name: string): Part {
  const filters = filtersOf(name);
  const isShared = filters.some((filter) => filter.startsWith('$share/'));
  return {
    kind,
    name,
    topics: topicsOf(name),
    filters,
    members: Array.from({ length: members }, (_, i) => memberName(name, i)),
    isShared,
    manner,
    weight,
    isServed: true,
  };
}
