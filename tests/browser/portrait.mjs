// Camera pictures for screenshots: a calm drawn person instead of Chromium's green test pattern.

import { open } from 'node:fs/promises';

const WIDTH = 640;
const HEIGHT = 360;
const FPS = 15;
/** One slow sway, the same way back as there, so that the loop has no seam. */
const FRAMES = 30;

/** Writes a YUV4MPEG2 file that `--use-file-for-fake-video-capture` plays in a loop. `hue` is in degrees. */
export async function writePortrait(path, hue) {
  const file = await open(path, 'w');
  try {
    await file.write(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${FPS}:1 Ip A1:1 C420jpeg\n`);
    const way = Array.from({ length: FRAMES / 2 + 1 }, (_, step) =>
      drawFrame(hue, Math.cos((step / FRAMES) * 2 * Math.PI)),
    );
    for (const frame of [...way, ...way.slice(1, -1).reverse()]) {
      await file.write('FRAME\n');
      await file.write(frame);
    }
  } finally {
    await file.close();
  }
}

function drawFrame(hue, sway) {
  const chroma = (WIDTH / 2) * (HEIGHT / 2);
  const frame = Buffer.alloc(WIDTH * HEIGHT + 2 * chroma);
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) {
      const [luma, u, v] = toYuv(smooth(x, y, hue, sway));
      frame[y * WIDTH + x] = luma;
      if (x % 2 === 0 && y % 2 === 0) {
        const at = WIDTH * HEIGHT + (y / 2) * (WIDTH / 2) + x / 2;
        frame[at] = u;
        frame[at + chroma] = v;
      }
    }
  }
  return frame;
}

/** The mean of four points of the pixel: no stairs at the edges. */
function smooth(x, y, hue, sway) {
  const sum = [0, 0, 0];
  for (const [dx, dy] of [
    [0.25, 0.25],
    [0.75, 0.25],
    [0.25, 0.75],
    [0.75, 0.75],
  ]) {
    const color = colorAt(x + dx, y + dy, hue, sway);
    for (let channel = 0; channel < 3; channel += 1) sum[channel] += color[channel] / 4;
  }
  return sum;
}

/** Front to back: hair, face, neck, shoulders, and a wall with light from the upper left. */
function colorAt(x, y, hue, sway) {
  const centre = WIDTH / 2 + sway * 6;
  const inside = (cx, cy, rx, ry) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1;
  const face = inside(centre + sway * 2, 176, 48, 60);
  if (!face && y < 210 && inside(centre, 152, 63, 74)) return hsl(22, 0.26, 0.1 + hue / 2400);
  if (face) return hsl(26, 0.4, 0.68 - (x - centre) / 900);
  if (Math.abs(x - centre) < 20 && y > 200 && y < 268) return hsl(24, 0.38, 0.57);
  if (inside(centre, 384, 150, 132)) return hsl(hue, 0.36, 0.44 - (x - centre) / 1600);
  return hsl(hue + 30, 0.24, 0.38 - 0.2 * Math.hypot(x / WIDTH - 0.2, y / HEIGHT - 0.1));
}

function hsl(hue, saturation, lightness) {
  const amplitude = saturation * Math.min(lightness, 1 - lightness);
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return 255 * (lightness - amplitude * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [channel(0), channel(8), channel(4)];
}

/** Full-range BT.601, as JPEG has it. */
function toYuv([r, g, b]) {
  return [
    0.299 * r + 0.587 * g + 0.114 * b,
    128 - 0.168736 * r - 0.331264 * g + 0.5 * b,
    128 + 0.5 * r - 0.418688 * g - 0.081312 * b,
  ];
}
