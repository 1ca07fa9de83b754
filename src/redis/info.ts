/** Reads a field of INFO's answer; '' where it says nothing. */
export function infoField(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
}

/** The policy by which Redis throws keys away when its memory is full; null: it does not. `field` reads INFO. */
export function evictionPolicy(field: (name: string) => string): string | null {
  const policy = field('maxmemory_policy');
  return field('maxmemory') === '0' || policy === 'noeviction' || policy === '' ? null : policy;
}
