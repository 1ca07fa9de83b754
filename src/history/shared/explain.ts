import { errorText } from '../../base/errors';

const CLIPPED = 150;

/** One line, not too long: servers quote what they refuse between their words, whole payloads too. */
export function clip(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > 2 * CLIPPED ? `${line.slice(0, CLIPPED)} ... ${line.slice(-CLIPPED)}` : line;
}

/** Codes of Node.js for a certificate that is not what it should be. */
const NOT_TRUSTED = /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_|ERR_TLS_CERT)/;

/** What a connection that failed tells the operator to look at. `shown` is the product and where it is. */
export function explainConnection(error: unknown, shown: string): string {
  // A name with several addresses fails with one error for each, and an empty message.
  const first: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  const code = String((first as { code?: unknown }).code ?? '');
  if (isNotTrusted(first)) return `${shown}: its certificate is not trusted (${code}): check ca= and the host's name`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return `${shown} doesn't answer in TLS (${code}): check port and tls=`;
  if (code === 'ECONNRESET' || code.startsWith('HPE_'))
    return `${shown}: the connection was lost (${code}); if it happens each time: check port and tls=`;
  return `cannot connect to ${shown} (${code || errorText(first)}): check host and port`;
}

/** For clients whose own words say why a certificate is not trusted, and not what to do. */
export function isNotTrusted(error: unknown): boolean {
  return NOT_TRUSTED.test(String((error as { code?: unknown } | null | undefined)?.code ?? ''));
}

/** For a server that takes the connection and says nothing: some wait so for the end of a line when TLS begins. */
export const silentText = (shown: string): string => `${shown} gives no answer: check host, port and tls=`;
