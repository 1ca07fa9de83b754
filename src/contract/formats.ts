import { filterProblem, isStorable, plainFilterProblem, stringProblem, topicProblem } from '../mqtt/validity';

/** The formats of openapi.yaml. Each returns what is wrong with a text, or null. */
export const FORMATS: Readonly<Record<string, (text: string) => string | null>> = {
  'mqtt-string': stringProblem,
  'mqtt-topic': topicProblem,
  'mqtt-topic-filter': filterProblem,
  'mqtt-plain-filter': plainFilterProblem,
  storable: (text) => (isStorable(text) ? null : 'must be well-formed Unicode without U+0000'),
  base64: (text) => (isBase64(text) ? null : 'must be base64 (RFC 4648, standard alphabet, padded)'),
};

/** This pattern has no repeated groups, because they would overflow the stack for a text of 16 MB. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** The last character before the padding has bits that belong to no byte. They must be 0. */
const ONE_BYTE_LEFT = /[AQgw]==$/;
const TWO_BYTES_LEFT = /[AEIMQUYcgkosw048]=$/;

/**
 * Whether the text is what Node would encode. Node itself decodes any text without an error, even "undefined".
 */
export function isBase64(text: string): boolean {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return false;
  if (text.endsWith('==')) return ONE_BYTE_LEFT.test(text.slice(-3));
  return !text.endsWith('=') || TWO_BYTES_LEFT.test(text.slice(-2));
}
