import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { BodyProblem, readBody } from '../../src/door/body';

const BODY = Buffer.alloc(1_000, 'x');
const server = createServer();

/** Sends this much of a body and goes. @returns what the server gets when it reads the body afterwards. */
async function readAfterwards(sent: number): Promise<unknown> {
  const asked = once(server, 'request') as Promise<[IncomingMessage]>;
  const socket = connect((server.address() as AddressInfo).port);
  socket.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${BODY.length}\r\n\r\n`);
  socket.write(BODY.subarray(0, sent));
  const [req] = await asked;
  setTimeout(() => socket.destroy(), 20);
  await new Promise((resolve) => req.once('close', resolve));
  return readBody(req, 1e9).catch((error: unknown) => error);
}

/** A busy server lets requests wait for their turn. */
describe('the body of a client that has gone meanwhile', () => {
  beforeAll(() => once(server.listen(0), 'listening'));
  afterAll(() => void server.close());

  // The guard is the look at `destroyed`. Without it the reading never ends. EMQX sends the event again, so that it is no dead letter.
  it.each([
    ['a part of it', 100],
    ['all of it', BODY.length],
  ])('ends early, whether the client had sent %s', async (_, sent) => {
    const error = await readAfterwards(sent);
    expect(error).toBeInstanceOf(BodyProblem);
    expect(error).toMatchObject({ message: 'The body ended early.', head: null });
  });
});
