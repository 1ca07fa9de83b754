import { dirname } from 'node:path';
import { Problem } from '../../door/problem';
import { pathParameter, type Route } from '../route';

/** The files of the package that the page uses. No other file of the package is served. */
const FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'];

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>emqx-offline-store</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/init.js"></script>
</body>
</html>
`;

/** This script is a file of its own, so that the policy below can forbid inline scripts. */
const INIT = `SwaggerUIBundle({ url: '/openapi.yaml', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });
`;

/** The page may load files from this server only. Swagger UI sets style attributes, and its icons are data: URLs. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function docsRoutes(): Route[] {
  const root = dirname(require.resolve('swagger-ui-dist/package.json'));
  return [
    {
      method: 'get',
      path: '/docs',
      handle(_req, res) {
        res.set('Content-Security-Policy', POLICY).type('html').send(PAGE);
      },
    },
    {
      method: 'get',
      path: '/docs/:file',
      handle(req, res) {
        const file = pathParameter(req, 'file');
        if (file === 'init.js') res.type('js').send(INIT);
        else if (FILES.includes(file)) res.sendFile(file, { root });
        else throw new Problem('not-found', 'The API documentation has no such file.');
      },
    },
  ];
}
