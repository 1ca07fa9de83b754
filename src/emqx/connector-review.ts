import { flawIf, type Flaw } from './flaw';
import type { InstalledConnector } from './inspection';

/** This server according to its settings. */
export interface ReviewedServer {
  readonly tls: boolean;
  readonly port: number;
  /** tokenPrint of INGEST_TOKEN and of INGEST_TOKEN_PREVIOUS; null if not set. */
  readonly tokenPrint: string | null;
  readonly previousTokenPrint: string | null;
  /** The command that repairs a flaw. */
  readonly remedy: string;
}

/** Compares a connector's address and token with the server's own settings. */
export function reviewConnector({ name, url: text, hasToken, tokenPrint }: InstalledConnector, server: ReviewedServer): Flaw[] {
  const { remedy } = server;
  const about = `connector ${name}`;
  if (!URL.canParse(text)) return [];
  const url = new URL(text);
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  const isHere = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname);
  const samePort = port === server.port;
  const knownToken = hasToken && tokenPrint !== undefined && server.tokenPrint !== null;
  const isPrevious = knownToken && tokenPrint === server.previousTokenPrint;
  return [
    ...flawIf(
      samePort && server.tls && url.protocol === 'http:',
      true,
      `${about} posts to ${text}, and the server speaks HTTPS there (TLS_CERT_FILE): no event arrives`,
      remedy,
    ),
    ...flawIf(
      samePort && !server.tls && url.protocol === 'https:',
      true,
      `${about} posts to ${text}, and the server speaks plain HTTP there (TLS_CERT_FILE is not set): no event arrives`,
      remedy,
    ),
    // A different port may be right if a proxy, or a port that Docker publishes, is in between.
    ...flawIf(
      !samePort,
      false,
      `${about} posts to port ${port} (${text}), and PORT is ${server.port}`,
      isHere ? remedy : `is there a proxy between them? otherwise: ${remedy}`,
    ),
    ...flawIf(isPrevious, false, `${about} still sends INGEST_TOKEN_PREVIOUS`, remedy),
    ...flawIf(
      knownToken && !isPrevious && tokenPrint !== server.tokenPrint,
      true,
      `${about} sends another token than INGEST_TOKEN: every event is answered 401 and lost`,
      remedy,
    ),
  ];
}
