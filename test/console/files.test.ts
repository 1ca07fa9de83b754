import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import express from 'express';
import request from 'supertest';
import { register } from '../../src/http/route';
import { consoleRoutes } from '../../src/http/routes/console';
import { temporaryDirectory } from '../support/temp';

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

describe('the files of the console', () => {
  const directory = temporaryDirectory();
  const built = join(directory.path, 'console');
  afterAll(() => directory.remove());

  beforeAll(() => {
    mkdirSync(built);
    writeFileSync(join(built, 'index.html'), '<!doctype html><title>console</title>');
    writeFileSync(join(built, 'index-1a2b.js'), 'start();');
    writeFileSync(join(built, 'index-3c4d.css'), 'p {}');
    writeFileSync(join(built, 'icon-5e6f.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
    writeFileSync(join(directory.path, 'secret.txt'), 'hidden words');
  });

  const app = (folder = built) => {
    const api = express();
    register(api, consoleRoutes(folder));
    api.use(((error: { status?: number }, _req, res, _next) => {
      res.status(error.status ?? 500).end();
    }) satisfies express.ErrorRequestHandler);
    return request(api);
  };

  test.each(['/console', '/console/'])('%s is the page, which no browser keeps without asking', async (path) => {
    const { status, headers, text } = await app().get(path);
    expect(status).toBe(200);
    expect(text).toContain('<title>console</title>');
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': POLICY,
    });
  });

  test.each([
    ['index-1a2b.js', 'text/javascript; charset=utf-8'],
    ['index-3c4d.css', 'text/css; charset=utf-8'],
    ['icon-5e6f.svg', 'image/svg+xml'],
  ])('%s has its content type, and browsers keep it', async (file, type) => {
    const { status, headers } = await app().get(`/console/${file}`);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe(type);
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
    expect(headers['content-security-policy']).toBe(POLICY);
  });

  it('HEAD has the headers and no body', async () => {
    const { status, headers, text } = await app().head('/console/index-1a2b.js');
    expect(status).toBe(200);
    expect(headers['content-length']).toBe('8');
    expect(text ?? '').toBe('');
  });

  test.each([
    '/console/..%2Fsecret.txt',
    '/console/%2e%2e%2fsecret.txt',
    '/console/../secret.txt',
    '/console/other.js',
    '/console/index.html',
  ])('%s is not there', async (path) => {
    const { status, text } = await app().get(path);
    expect(status).toBe(404);
    expect(text).not.toContain('hidden words');
  });

  it('is answered 405 with another method', async () => {
    expect((await app().post('/console')).status).toBe(405);
  });

  it('tells how to build the console where it is not built', async () => {
    const { status, headers, text } = await app(join(directory.path, 'none')).get('/console');
    expect(status).toBe(404);
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(text).toContain('npm run build');
    expect((await app(join(directory.path, 'none')).get('/console/index-1a2b.js')).status).toBe(404);
  });
});
