import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `npm run dev` serves the page with hot reload and hands everything else to a plenum-sfu on its default port.
const SFU = 'http://localhost:7880';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    // The binary embeds every file of dist: no source maps, and no inlined assets that a strict
    // content security policy would refuse.
    sourcemap: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1024,
  },
  server: {
    proxy: {
      '/rtc': { target: SFU, ws: true },
      '/dev/mode': SFU,
      '/dev/token': SFU,
    },
  },
});
