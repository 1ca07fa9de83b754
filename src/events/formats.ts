import { filterProblem, isStorable, plainFilterProblem, stringProblem, topicProblem } from './topic';

/** The `format`s of openapi.yaml: each says what is wrong with a text, or null. */
export const FORMATS: Readonly<Record<string, (text: string) => string | null>> = {
  'mqtt-string': stringProblem,
  'mqtt-topic': topicProblem,
  'mqtt-topic-filter': filterProblem,
  'mqtt-plain-filter': plainFilterProblem,
  storable: (text) => (isStorable(text) ? null : 'must be well-formed Unicode without U+0000'),
  base64: (text) => (isBase64(text) ? null : 'must be base64 (RFC 4648, standard alphabet, padded)'),
};

/** Node decodes anything without complaint ("undefined" too: facts.md); only what it would encode the same way is base64. */
export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && Buffer.from(text, 'base64').toString('base64') === text;
}
