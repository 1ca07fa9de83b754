import { ClosedError, errorText, RefusedError, RetryableError, SettingError } from './errors';
import type { Health } from './health';

/** Something that the server needs and that may be unavailable: the store, the queue, a history, EMQX (dependency-log.ts). */
export interface Source {
  /** `store`, `queue`, `EMQX`, `history influxdb://host/db` */
  readonly name: string;
  /** The log has a line that says that it is unavailable, or is about to have one. */
  readonly isTroubled: boolean;
  /** Requests that have no answer yet; each since when (performance.now()). */
  readonly pending: Set<{ readonly since: number }>;
  /** A request of it succeeded. */
  worked(): void;
  /** A request of it failed. */
  failed(error: unknown): void;
}

/** Which dependency an error came from. */
const sources = new WeakMap<object, Source>();
/** A chain of causes may be a circle. */
const MAX_CAUSES = 5;
/** Codes of the operating system and of the resolver, such as ECONNREFUSED. Node's own errors have codes like ERR_INVALID_ARG_TYPE. */
const SYSTEM_CODE = /^E[A-Z]{4,}$/;

/** Every error that a dependency throws, except those that can only be a bug of the server. */
export function cameFrom(error: unknown, dependency: Source): void {
  if (typeof error === 'object' && error !== null && !isBug(error) && !sources.has(error)) sources.set(error, dependency);
}

/** The dependency that caused the error; null: none, or it is unknown. */
export function dependencyOf(error: unknown): Source | null {
  for (const each of chainOf(error)) {
    const found = sources.get(each);
    if (found !== undefined) return found;
  }
  return null;
}

/** An error that needs no stack: something is unavailable, refuses, or takes too long. Anything else is a bug of the server. */
export function isExpected(error: unknown): boolean {
  if (error instanceof RetryableError || error instanceof RefusedError || error instanceof SettingError || error instanceof ClosedError)
    return true;
  if (dependencyOf(error) !== null) return true;
  return SYSTEM_CODE.test(String((error as { code?: unknown } | null)?.code));
}

function isBug(error: object): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError || error instanceof SyntaxError;
}

/** The code of the error or of what caused it, such as ECONNREFUSED or 57P03; null: none of them has one. */
export function codeOf(error: unknown): string | null {
  for (const each of chainOf(error)) {
    const { code } = each as { code?: unknown };
    if (typeof code === 'string' || typeof code === 'number') return String(code);
  }
  return /\bE[A-Z]{4,}\b/.exec(errorText(error))?.[0] ?? null;
}

function* chainOf(error: unknown): Generator<object> {
  let each = error;
  for (let i = 0; i < MAX_CAUSES && typeof each === 'object' && each !== null; i++) {
    yield each;
    each = (each as { cause?: unknown }).cause;
  }
}

/** Functions that find the failure in the result of a call that resolves: the error, or null if there is none. */
type FailuresIn<T> = { readonly [K in keyof T]?: (result: never) => unknown };

/**
 * The same object, whose failing calls are reported to the dependency. A call that fails still fails in the same way.
 * @param failuresIn methods that resolve although something failed
 */
export function reporting<T extends object>(
  target: T,
  dependency: Source,
  isFailure: (error: unknown) => boolean,
  failuresIn: FailuresIn<T> = {},
): T {
  const calls = new Map<string | symbol, unknown>();
  const note = (error: unknown): void => {
    if (error === null) dependency.worked();
    else if (isFailure(error)) dependency.failed(error);
  };
  const wrap = (method: (...args: unknown[]) => unknown, failureIn: ((result: unknown) => unknown) | undefined) =>
    function reported(...args: unknown[]): unknown {
      const result = method.apply(target, args);
      if (!(result instanceof Promise)) return result;
      const call = { since: performance.now() };
      dependency.pending.add(call);
      // The dependency is told before the caller, because the caller asks where the error came from.
      result.then(
        (value: unknown) => {
          dependency.pending.delete(call);
          note(failureIn === undefined ? null : failureIn(value));
        },
        (error: unknown) => {
          dependency.pending.delete(call);
          note(error);
        },
      );
      return result;
    };
  return new Proxy(target, {
    get(_, name) {
      const known = calls.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const failureIn = failuresIn[name as keyof T] as ((result: unknown) => unknown) | undefined;
      const call = wrap(value as (...args: unknown[]) => unknown, failureIn);
      calls.set(name, call);
      return call;
    },
    // A function that is assigned to a method, as jest.spyOn does, is called in its place.
    set: (_, name, value) => calls.set(name, value) === calls,
    deleteProperty: (_, name) => calls.delete(name),
  });
}

/** A failure of a driver that maps all its errors. */
export function isRetryable(error: unknown): boolean {
  return error instanceof RetryableError;
}

/** A failure of a client library whose errors nobody maps. */
export function isNoBug(error: unknown): boolean {
  return error instanceof Error && !(error instanceof RefusedError) && !isBug(error);
}

/** For `failuresIn`: health checks never throw. */
export function unhealthy({ ok, detail }: Health): unknown {
  return ok ? null : new RetryableError(detail);
}
