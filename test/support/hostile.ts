/**
 * Texts that MQTT allows as client id and topic (a topic without its wildcards) and that have broken a database, a query language, a key, a
 * path, a log or a metric before. One table for all of them: every store (conformance), EMQX's client, the log, /metrics, the fuzz.
 */
export const HOSTILE = [
  `'; DROP TABLE mqtt_msg; --`,
  '"quoted" \\back\\slash',
  '%_like%',
  '$where',
  '{"$gt":""}',
  '../../etc/passwd',
  'new\nline\ttab\r',
  'glob*[a-z]?',
  'mqtt:msg:x',
  ' leading and trailing ',
  'ünïcödé 漢字 😀 \u200d\u202e',
  'e\u0301',
  '\u00e9',
  '\u0001\u001f\u007f',
  '${topic}',
  ':named ? $1 @at',
  '__proto__',
  'NULL',
  '.',
  '..',
  '%00',
  '%2e%2e%2f%2e%2e%2fnodes',
  '{}',
  '[]',
  ';--',
  `' OR '1'='1`,
  '`id`',
  'a\r\n{"level":"fatal"}',
  '?*#&=x',
];

/** The text as (a part of) a topic: without wildcards. */
export const asTopic = (text: string): string => text.replace(/[+#]/g, '');
