import { defineConfig } from 'vite';

/** `npm run build` writes the console to dist/console, where the server finds it. */
export default defineConfig({
  base: '/console/',
  publicDir: false,
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    outDir: '../../dist/console',
    emptyOutDir: true,
    // The server serves one flat folder.
    assetsDir: '',
    // The Content-Security-Policy forbids everything inline but images.
    assetsInlineLimit: 0,
    modulePreload: false,
    target: 'es2022',
  },
});
