import express from 'express';
import request from 'supertest';
import { register, type Route } from '../../src/http/route';

// The guard is the sort in register(): in its order the path with a parameter would answer for the other one.
test('a path without parameters wins against one with a parameter that is listed before it', async () => {
  const route = (path: string): Route => ({ method: 'get', path, handle: (_req, res) => void res.json(path) });
  const app = express();
  register(app, ['/letters/:id', '/letters/export', '/files/*path', '/files/all'].map(route));
  for (const [url, path] of [
    ['/letters/export', '/letters/export'],
    ['/letters/7', '/letters/:id'],
    ['/files/all', '/files/all'],
    ['/files/a/b', '/files/*path'],
  ] as const)
    expect((await request(app).get(url)).body).toBe(path);
});
