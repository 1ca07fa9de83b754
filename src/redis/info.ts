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

/** What is wrong if this server is a replica, which takes no writes; null if it is none. `field` reads a field of INFO. */
export function replicaProblem(field: (name: string) => string): string | null {
  if (field('role') !== 'slave') return null;
  return `this server is a replica of ${field('master_host')}:${field('master_port')} and takes no writes: name the primary`;
}
