/**
 * What MQTT allows as topic names, topic filters and client ids. The checks are those of EMQX (emqx_topic:validate). In
 * addition U+0000 and lone surrogates are rejected everywhere, because neither is well-formed MQTT and PostgreSQL
 * accepts neither in JSON.
 */

/** MQTT's limit for every UTF-8 string (bytes). */
const MAX_BYTES = 65_535;

/** In `u` mode a surrogate pair is one code point, so \p{Cs} matches only lone surrogates. */
const NOT_STORABLE = /[\0\p{Cs}]/u;

/** Whether the text is well-formed Unicode without U+0000, which every database stores unchanged. */
export function isStorable(text: string): boolean {
  return !NOT_STORABLE.test(text);
}

/** @returns what is wrong with the text as an MQTT string of 1 to 65,535 bytes, or null. */
export function stringProblem(text: string): string | null {
  if (text === '') return 'must not be empty';
  if (Buffer.byteLength(text) > MAX_BYTES) return `must not be longer than ${MAX_BYTES} bytes of UTF-8`;
  return isStorable(text) ? null : 'must be well-formed Unicode without U+0000';
}

/** @returns what is wrong with the text as a topic to publish to, or null. */
export function topicProblem(topic: string): string | null {
  return (
    stringProblem(topic) ??
    (/[+#]/.test(topic) ? 'must not contain the wildcards + and #: nothing can be published to a topic filter' : null)
  );
}

/** @returns what is wrong with the text as a topic filter to subscribe to (including `$share/...`), or null. */
export function filterProblem(filter: string): string | null {
  const problem = stringProblem(filter);
  if (problem !== null) return problem;
  if (filter.startsWith('$share/')) return shareProblem(filter);
  for (const prefix of ['$queue/', '$exclusive/']) if (filter.startsWith(prefix)) return wildcardProblem(filter.slice(prefix.length));
  return wildcardProblem(filter);
}

function shareProblem(filter: string): string | null {
  const match = /^\$share\/([^/]*)\/(.*)$/su.exec(filter);
  const group = match?.[1] ?? '';
  if (match === null || group === '' || /[+#]/.test(group)) {
    return 'must be $share/{group}/{filter} with a group that is not empty and has no / + #';
  }
  const inner = match[2] ?? '';
  return inner.startsWith('$share/') ? 'must not be a shared subscription inside another' : wildcardProblem(inner);
}

function wildcardProblem(filter: string): string | null {
  if (filter === '') return 'must have a topic filter after its prefix';
  const levels = filter.split('/');
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index < levels.length - 1)) return 'must have # only as its last level, alone';
    if (level.includes('+') && level !== '+') return 'must have + only alone in its level';
  }
  return null;
}

/** @returns what is wrong with the text as a plain topic filter (without `$share/...`), or null. */
export function plainFilterProblem(filter: string): string | null {
  if (filter.startsWith('$exclusive/')) return 'must not be an exclusive subscription: leave $exclusive/ out';
  return filter.startsWith('$share/') ? 'must not be a shared subscription: leave $share/{group}/ out' : filterProblem(filter);
}
