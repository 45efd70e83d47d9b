import react from '@vitejs/plugin-react';
import { defineConfig, type HtmlTagDescriptor, type Plugin } from 'vite';

// `npm run dev` serves the page with hot reload and hands everything else to a plenum-sfu on its default port.
const SFU = 'http://localhost:7880';

/**
 * Nothing but our own files and our own server, whatever arrives by chat or in a name. Only in what is built: the
 * development server needs inline scripts for hot reload.
 */
const POLICY = [
  "default-src 'self'",
  "connect-src 'self' ws: wss:",
  "img-src 'self' data: blob:",
  "media-src 'self' blob: mediastream:",
  "style-src 'self' 'unsafe-inline'",
  "worker-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join('; ');

const meta = (name: string, content: string): HtmlTagDescriptor => ({ tag: 'meta', attrs: { name, content } });

/** What the heads of all pages have in common. */
const head: Plugin = {
  name: 'head',
  transformIndexHtml: () => [
    meta('viewport', 'width=device-width, initial-scale=1, viewport-fit=cover'),
    meta('color-scheme', 'dark'),
    meta('theme-color', '#0c0e14'),
    meta('referrer', 'no-referrer'),
    { tag: 'link', attrs: { rel: 'icon', type: 'image/svg+xml', href: '/plenum.svg' } },
  ],
};

const contentSecurityPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY }, injectTo: 'head-prepend' },
  ],
};

export default defineConfig({
  plugins: [react(), head, contentSecurityPolicy],
  build: {
    target: 'es2022',
    // The binary embeds every file of dist: no source maps, and no inlined assets that a strict
    // content security policy would refuse.
    sourcemap: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1024,
    // The meeting page, and the operator's page at /rooms.
    rollupOptions: { input: ['index.html', 'rooms.html'] },
  },
  server: {
    proxy: {
      '/rtc': { target: SFU, ws: true },
      '/dev/mode': SFU,
      '/dev/token': SFU,
      '/dev/operator': SFU,
      '/debug': SFU,
    },
  },
});
