/**
 * The name of a request, for messages and metrics: `POST /clients/{clientid}/subscribe`. Client ids and topics are
 * nobody else's business, they may be long, and without them there are few names.
 */
export function operationOf(method: string, path: string): string {
  const [plain = ''] = path.split('?');
  return `${method} ${plain.replace(/^\/clients\/[^/]+/, '/clients/{clientid}').replace(/^(\/mqtt\/retainer\/message|\/actions)\/[^/]+/, '$1/{name}')}`;
}
