/** The smallest server that could accept an event: it parses the JSON, runs the server's own validator, and answers. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readEvent } from '../src/events';

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    readEvent(JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(202).end('{"accepted":1}');
  });
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
