/** Reads a field of INFO's answer; '' if it is missing. */
export function infoField(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
}

/**
 * The policy by which Redis deletes keys when its memory is full; null if it deletes none. `field` reads a field of
 * INFO.
 */
export function evictionPolicy(field: (name: string) => string): string | null {
  const policy = field('maxmemory_policy');
  return field('maxmemory') === '0' || policy === 'noeviction' || policy === '' ? null : policy;
}
