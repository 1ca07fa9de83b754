import { types } from 'node:util';

/**
 * Jest gives tests a realm of their own, in which errors of Node's core are no instances of Error; the AWS SDK asks for that, and would
 * hide their code. As in production:
 */
export function joinRealms(): void {
  Object.defineProperty(Error, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      return this === Error ? types.isNativeError(value) : Function.prototype[Symbol.hasInstance].call(this as () => void, value);
    },
  });
}
