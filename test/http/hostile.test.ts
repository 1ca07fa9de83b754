import request from 'supertest';
import { publishBody } from '../events/bodies';
import { asTopic, HOSTILE } from '../support/hostile';
import { Fakes } from './fakes';

/** Names of clients, topics and paths, wherever they come from, reach neither a label of /metrics nor the log as they are. */
test('hostile names create no metric label and no log line', async () => {
  const fakes = new Fakes();
  const app = fakes.app();
  const post = (path: string, body: unknown) => request(app).post(path).set('Content-Type', 'application/json').send(JSON.stringify(body));
  await post('/v1/events', publishBody());
  await post('/v1/events', {});
  await post('/v1/events/x', {});
  await request(app).get('/v1/clients/c');
  const series = async () => (await fakes.metrics.registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const unlabelled = (lines: string[]) => new Set(lines.map((line) => line.replace(/status="\d+"| \S+$/g, '')));
  const before = unlabelled(await series());
  for (const name of HOSTILE) {
    const path = encodeURIComponent(name);
    await post('/v1/events', publishBody({ topic: asTopic(name), clientid: name, username: name }));
    await post('/v1/events', { event: name });
    await post(`/v1/events/${path}`, {});
    await request(app).get(`/v1/clients/${path.replace(/^\.+$/, '%2e')}`);
  }
  expect([...unlabelled(await series())].filter((line) => !before.has(line))).toEqual([]);
  expect(fakes.lines).toEqual([]);
});

test.each(['\0', 'a\0b', '\ud800', ''])('a name that MQTT does not allow is rejected: %j', async (name) => {
  const fakes = new Fakes();
  for (const body of [
    publishBody({ clientid: name }),
    publishBody({ topic: name }),
    { event: 'session.subscribed', clientid: 'c', topic: name, qos: 1, timestamp: 1 },
  ]) {
    expect((await request(fakes.app()).post('/v1/events').send(body)).status).toBe(400);
  }
  expect(fakes.accepted).toEqual([]);
});
