// Bundles the test page once and serves it from memory on loopback.

import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const folder = fileURLToPath(new URL('harness/', import.meta.url));

/** Serves the page; `url` is a secure context, so it may use the fake camera. */
export async function serveHarness() {
  const files = {
    '/': ['text/html', await readFile(`${folder}index.html`)],
    '/client.js': ['text/javascript', await bundle()],
    '/e2ee.worker.js': ['text/javascript', await readFile(fileURLToPath(import.meta.resolve('livekit-client/e2ee-worker')))],
  };
  const server = createServer((request, response) => {
    const [type, body] = files[new URL(request.url, 'http://localhost').pathname] ?? [];
    if (!body) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': type }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://localhost:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function bundle() {
  const { output } = await build({
    root: folder,
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'es2022',
      minify: false,
      rollupOptions: { input: `${folder}client.js`, output: { entryFileNames: 'client.js' } },
    },
  });
  return output[0].code;
}
