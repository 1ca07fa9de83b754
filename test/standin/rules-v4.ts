import type { Action, ActionOptions } from './action';
import type { KindV4 } from './rest-v4';
import { Rule } from './rule';

type Json = Record<string, unknown>;

/** As rules/emqx4 has it. */
interface ActionV4 {
  readonly params: { readonly $resource: string; readonly headers: Record<string, string> };
  readonly fallbacks: readonly ActionV4[];
}

/** Resources and rules of EMQX 4, one by one. */
export class RulesV4 {
  private readonly kept: Record<KindV4, Json[]> = { resources: [], rules: [] };
  private readonly actions = new Map<string, Action[]>();
  /** What EMQX could not reach when a rule was made leaves the rule disabled. */
  unreachable: string | null = null;

  constructor(
    private readonly add: (rule: Rule, options: ActionOptions) => Action,
    private readonly remove: (actions: readonly Action[]) => void,
  ) {}

  installed(kind: KindV4): readonly Json[] {
    return this.kept[kind];
  }

  install(kind: KindV4, body: Json): Json {
    const shown = kind === 'resources' ? body : { ...body, enabled: this.enable(body), metrics: [] };
    this.kept[kind].push(shown);
    return shown;
  }

  uninstall(kind: KindV4, id: string): Json {
    this.remove(this.actions.get(id) ?? []);
    this.actions.delete(id);
    this.kept[kind] = this.kept[kind].filter((each) => each['id'] !== id);
    return {};
  }

  clear(): void {
    this.kept.resources = [];
    this.kept.rules = [];
    this.actions.clear();
  }

  private enable({ id, rawsql, actions }: Json): boolean {
    const all = (actions as ActionV4[]).map((action) => ({ poolType: 'hash' as const, ...this.optionsOf(action) }));
    if (all.some(({ url }) => url === this.unreachable)) return false;
    this.actions.set(
      String(id),
      all.map((options) => this.add(new Rule(String(rawsql)), options)),
    );
    return true;
  }

  /** Nothing is retried: an event that fails goes to the fallback, where there is one. */
  private optionsOf({ params, fallbacks }: ActionV4): Omit<ActionOptions, 'poolType'> {
    const config = this.kept.resources.find(({ id }) => id === params.$resource)?.['config'] as
      { url: string; pool_size: number } | undefined;
    if (config === undefined) throw new Error(`no resource ${params.$resource}`);
    const [fallback] = fallbacks.map((each) => this.optionsOf(each));
    return {
      url: config.url,
      headers: params.headers,
      poolSize: config.pool_size,
      retries: false,
      ...(fallback !== undefined && { fallback }),
    };
  }
}
