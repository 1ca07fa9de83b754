import type { ClientRequest, IncomingMessage } from 'node:http';

/** Sends the request, and resolves when the answer begins. The caller reads the answer's body. */
export function responseTo(request: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    // The listener stays, because a request that is destroyed after its answer began emits another error.
    request.on('error', reject);
    request.end(body);
  });
}
