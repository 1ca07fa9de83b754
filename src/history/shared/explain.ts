import { errorText } from '../../base/errors';

const CLIPPED = 150;

/** One line of limited length, because servers quote what they reject, even whole payloads. */
export function clip(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > 2 * CLIPPED ? `${line.slice(0, CLIPPED)} ... ${line.slice(-CLIPPED)}` : line;
}

/** Node.js' codes for a certificate that can't be trusted. */
const NOT_TRUSTED = /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_|ERR_TLS_CERT)/;

/**
 * What the operator should check after a connection error.
 * @param shown the product and its address.
 */
export function explainConnection(error: unknown, shown: string): string {
  // A name with several addresses fails with one error per address and an empty message.
  const first: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  const code = String((first as { code?: unknown }).code ?? '');
  if (isNotTrusted(first)) return `${shown}: its certificate is not trusted (${code}): check ca= and the host name`;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) return `${shown} doesn't answer in TLS (${code}): check port and tls=`;
  if (code === 'ECONNRESET' || code.startsWith('HPE_'))
    return `${shown}: the connection was lost (${code}); if it happens each time: check port and tls=`;
  return `cannot connect to ${shown} (${code || errorText(first)}): check host and port`;
}

/** For clients whose own error says why a certificate is not trusted, but not what to do. */
export function isNotTrusted(error: unknown): boolean {
  return NOT_TRUSTED.test(String((error as { code?: unknown } | null | undefined)?.code ?? ''));
}

/**
 * For a server that accepts the connection but sends nothing. Some servers wait for the end of a line when TLS begins.
 */
export const silentText = (shown: string): string => `${shown} gives no answer: check host, port and tls=`;
