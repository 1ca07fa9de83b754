import type { AttributeValue } from '@aws-sdk/client-dynamodb';

export type Item = Record<string, AttributeValue>;

export const text = (value: string): AttributeValue => ({ S: value });
export const number = (value: number): AttributeValue => ({ N: String(value) });
export const bytes = (value: Uint8Array): AttributeValue => ({ B: value });

export const textOf = (value: AttributeValue | undefined): string | null => value?.S ?? null;

/** EMQX writes numbers as N; other writers of these tables may have chosen S or BOOL. */
export function numberOf(value: AttributeValue | undefined): number | null {
  if (value?.BOOL !== undefined) return value.BOOL ? 1 : 0;
  const digits = value?.N ?? value?.S;
  const found = digits === undefined || digits.trim() === '' ? NaN : Number(digits);
  return Number.isFinite(found) ? found : null;
}

export function bytesOf(value: AttributeValue | undefined): Buffer | null {
  return value?.B === undefined ? null : Buffer.from(value.B.buffer, value.B.byteOffset, value.B.byteLength);
}

/**
 * The size as DynamoDB counts it, rather a little too much. An item may have 400 KB, including the names of its
 * attributes.
 */
export function sizeOf(item: Item): number {
  return Object.entries(item).reduce((sum, [name, value]) => sum + name.length + valueSize(value), 100);
}

function valueSize({ S, N, B, L }: AttributeValue): number {
  if (L !== undefined) return L.reduce((sum, each) => sum + 1 + valueSize(each), 3);
  return S !== undefined ? Buffer.byteLength(S) : (N?.length ?? B?.byteLength ?? 1);
}
