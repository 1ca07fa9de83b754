import { ENVIRONMENT_KEYS } from './schema';
import { distance } from './suggest';

/** Names that resemble a setting of the server and mean something else. */
const OTHERS = new Set(['HOME', 'POST', 'SORT', 'COST', 'LOST', 'HOSTS', 'PORTS', 'FORT']);
const KNOWN = [...ENVIRONMENT_KEYS, 'CONFIG_FILE'];
/**
 * Names from this length on may differ in two letters. In a shorter name two other letters make another word. Example:
 * HOME is not HOST.
 */
const LONG_NAME = 6;
const MOST_EDITS = 2;

/** Names in the environment that are probably misspelled settings: they differ from one in at most two letters. */
export function unknownNames(env: NodeJS.ProcessEnv): { readonly name: string; readonly known: string }[] {
  return Object.keys(env).flatMap((name) => {
    if (KNOWN.includes(name) || OTHERS.has(name)) return [];
    const known = nearestSetting(name);
    return known === null ? [] : [{ name, known }];
  });
}

function nearestSetting(name: string): string | null {
  const near = KNOWN.map((known) => ({ known, edits: distance(name.toUpperCase(), known) }))
    .filter(({ known, edits }) => edits <= MOST_EDITS && (known.length >= LONG_NAME || edits < MOST_EDITS || isShuffled(name, known)))
    .sort((a, b) => a.edits - b.edits);
  return near[0]?.known ?? null;
}

/** Whether both names have the same letters in another order. Example: PROT and PORT. */
function isShuffled(name: string, known: string): boolean {
  const sorted = (text: string) => [...text.toUpperCase()].sort().join('');
  return sorted(name) === sorted(known);
}
