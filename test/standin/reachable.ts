import { once } from 'node:events';
import { connect } from 'node:net';

type Json = Record<string, unknown>;

/** A port where nobody listens refuses at once. */
const TIMEOUT_MS = 10_000;

/** The connector or action as EMQX shows it when nothing listens at the connector's URL. */
export async function withRealStatus(body: unknown, url: string | undefined): Promise<unknown> {
  const reason = url === undefined ? 'no connector' : await troubleWith(new URL(url));
  if (reason === null) return body;
  return {
    ...(body as Json),
    status: 'disconnected',
    status_reason: reason,
    node_status: [{ node: 'emqx@127.0.0.1', status: 'disconnected', status_reason: reason }],
  };
}

async function troubleWith({ hostname, port, protocol }: URL): Promise<string | null> {
  const socket = connect({ host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return null;
  } catch (error) {
    return String((error as { code?: unknown }).code ?? 'timeout').toLowerCase();
  } finally {
    socket.destroy();
  }
}
