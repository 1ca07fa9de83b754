import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../base/errors';
import type { Change, Connection, FirstEvent, RuleInstaller, Wanted } from './installer';
import type { Json } from './resource-diff';
import { conflicts, connectorName, ruleId, ruleNames, type RuleName } from './rules';
import { isMade, lastSight, piecesOf, type Piece } from './v5-pieces';
import { labelOf, ResourcesV5, type Kind, type ResourceOptions } from './v5-resources';
import { isObject, reasonOf } from './v5-answer';

const LOOK_MS = 250;

/**
 * The test event. Its topic begins with $, so no policy's `#` matches it, and no message is published there: the server
 * answers 202 and does nothing.
 */
const CHECK = {
  event_type: 'session_subscribed',
  clientid: 'emqx-offline-store-check',
  username: 'undefined',
  topic: '$SYS/emqx-offline-store/check',
  qos: 0,
};

/** Installs in EMQX 5.4 and later, and in EMQX 6. */
export class InstallerV5 implements RuleInstaller {
  private readonly resources: ResourcesV5;

  constructor(options: ResourceOptions) {
    this.resources = new ResourcesV5(options);
  }

  /**
   * New resources are made before old ones are removed. So for a moment EMQX sends an event twice, which has the effect
   * of once, but no event is missed.
   */
  async plan(wanted: Wanted): Promise<readonly Change[]> {
    const changes: Change[] = [];
    for (const piece of piecesOf(wanted)) {
      const present = await this.own(piece.kind, piece.name, wanted.name);
      if (present === 'foreign')
        throw new RefusedError(`${label(piece)} is there and was not made by this command: give another --name, or remove it`);
      const fields = piece.differences(present);
      if (fields.length > 0) changes.push(this.put(piece, present, fields));
    }
    for (const set of conflicts(wanted.set)) changes.push(...(await this.removalOf(set, wanted.name)));
    return changes;
  }

  async planRemoval(name: string, set: RuleName | null): Promise<readonly Change[]> {
    const changes: Change[] = [];
    for (const each of set === null ? ruleNames : [set]) changes.push(...(await this.removalOf(each, name)));
    const connector = connectorName(name);
    const present = await this.own('connector', connector, name);
    if (present === null || present === 'foreign') return changes;
    const removed = new Set(changes.map(({ what }) => what));
    const users = (await this.resources.actions())
      .filter((action) => action['connector'] === connector)
      .map(({ name: action }) => `action http:${String(action)}`);
    const others = users.filter((user) => !removed.has(user));
    const isSetOfOurs = (user: string): boolean => ruleNames.some((each) => user === `action http:${ruleId(each, name)}`);
    const foreign = others.filter((user) => !isSetOfOurs(user));
    if (foreign.length > 0)
      throw new RefusedError(
        `connector http:${connector} is used by ${foreign.join(', ')}, which this command did not make: remove that first, or give it another connector`,
      );
    return others.length > 0 ? changes : [...changes, this.removal('connector', connector, present)];
  }

  async connection({ set, name }: Wanted, waitMs: number): Promise<Connection> {
    const end = performance.now() + waitMs;
    for (;;) {
      const [connector, action] = [
        await this.resources.get('connector', connectorName(name)),
        await this.resources.get('action', ruleId(set, name)),
      ];
      const troubles = [...troublesOf('connector', connector), ...troublesOf('action', action)];
      if (troubles.length === 0) return { connected: true, detail: 'connected' };
      if (performance.now() >= end) return { connected: false, detail: troubles.join('; ') };
      await sleep(LOOK_MS);
    }
  }

  async firstEvent({ set, name }: Wanted, waitMs: number): Promise<FirstEvent> {
    const id = ruleId(set, name);
    const before = await this.resources.metrics(id);
    const answer = await this.resources.testRule(id, CHECK);
    if (answer.status === 404)
      return {
        outcome: 'unseen',
        detail: 'this EMQX cannot send one on request (5.7 and later can): subscribe a client, and look at the metrics of the action',
      };
    if (answer.status !== 200) return { outcome: 'unseen', detail: `EMQX did not send one: ${reasonOf(answer)}` };
    for (const end = performance.now() + waitMs; ; await sleep(LOOK_MS)) {
      const { success, failed } = await this.resources.metrics(id);
      if (success > before.success)
        return { outcome: 'arrived', detail: 'EMQX sent a test event through the rule, and the server accepted it' };
      if (failed > before.failed)
        return { outcome: 'refused', detail: 'EMQX sent a test event through the rule, and the server did not accept it' };
      if (performance.now() >= end)
        return { outcome: 'unseen', detail: 'EMQX sent a test event through the rule, and has no answer to it yet' };
    }
  }

  close(): void {
    this.resources.close();
  }

  private async removalOf(set: RuleName, name: string): Promise<Change[]> {
    const id = ruleId(set, name);
    const [rule, action] = [await this.own('rule', id, name), await this.own('action', id, name)];
    const changes: Change[] = [];
    if (isObject(rule)) changes.push(this.removal('rule', id, rule));
    if (!isObject(action)) return changes;
    const users = (await this.resources.rules()).filter(
      ({ id: other, actions }) => other !== id && Array.isArray(actions) && actions.includes(`http:${id}`),
    );
    if (users.length > 0)
      throw new RefusedError(
        `action http:${id} is used by rule ${users.map((each) => String(each['id'])).join(', ')}, which this command did not make: take the action out of it first`,
      );
    return [...changes, this.removal('action', id, action)];
  }

  private async own(kind: Kind, name: string, installation: string): Promise<Json | 'foreign' | null> {
    const present = await this.resources.get(kind, name);
    return present === null || isMade(kind, name, present, connectorName(installation)) ? present : 'foreign';
  }

  private put(piece: Piece, present: Json | null, fields: Change['fields']): Change {
    const { kind, name } = piece;
    return {
      kind: present === null ? 'add' : 'change',
      what: label(piece),
      fields,
      carryOut: async () => {
        if (present === null) await this.resources.create(kind, name, piece.body(null));
        // Read again, so that a change that the operator made while the command waited for confirmation is kept.
        else await this.resources.update(kind, name, piece.body((await this.resources.get(kind, name)) ?? present));
        const [wrong] = piece.differences(await this.resources.get(kind, name));
        if (wrong !== undefined)
          throw new RefusedError(
            `EMQX took the ${label(piece)} and has not kept it so: ${wrong.path} is ${wrong.from ?? 'not set'}, and not ${wrong.to ?? 'absent'}`,
          );
      },
    };
  }

  private removal(kind: Kind, name: string, present: Json): Change {
    const what = labelOf(kind, name);
    return {
      kind: 'remove',
      what,
      fields: lastSight(kind, present),
      carryOut: async () => {
        await this.resources.remove(kind, name);
        if ((await this.resources.get(kind, name)) !== null)
          throw new RefusedError(`EMQX answered that the ${what} is removed, and still has it`);
      },
    };
  }
}

const label = ({ kind, name }: Pick<Piece, 'kind' | 'name'>): string => labelOf(kind, name);

/** Each node of a cluster has a status of its own: one may reach the server while another does not. */
function troublesOf(kind: Kind, present: Json | null): string[] {
  if (present === null) return [`the ${kind} is gone`];
  const { status, status_reason: reason, node_status: nodes } = present;
  if (status === 'connected') return [];
  const own = Array.isArray(nodes) ? nodes.filter(isObject).filter((node) => node['status'] !== 'connected') : [];
  const reasons = own.map((node) => `${String(node['node'])}: ${String(node['status_reason'] ?? node['status'])}`);
  const why = reasons.length > 0 ? reasons.join(', ') : String(reason ?? '');
  return [`${kind} ${String(status)}${why === '' ? '' : ` (${why})`}`];
}
