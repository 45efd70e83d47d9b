// Camera pictures for screenshots: a calm drawn person instead of Chromium's green test pattern.

import { open } from 'node:fs/promises';

const WIDTH = 640;
const HEIGHT = 360;
const FPS = 15;
/** One slow sway back and forth, so that the loop has no seam. */
const FRAMES = 30;

/** Writes a YUV4MPEG2 file that `--use-file-for-fake-video-capture` plays in a loop. `hue` is in degrees. */
export async function writePortrait(path, hue) {
  const file = await open(path, 'w');
  try {
    await file.write(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${FPS}:1 Ip A1:1 C420jpeg\n`);
    for (let frame = 0; frame < FRAMES; frame += 1) {
      await file.write('FRAME\n');
      await file.write(drawFrame(hue, Math.sin((frame / FRAMES) * 2 * Math.PI)));
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
      const [luma, u, v] = toYuv(colorAt(x, y, hue, sway));
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

/** Back to front: a wall with light from the upper left, shoulders, neck, head, hair. */
function colorAt(x, y, hue, sway) {
  const centre = WIDTH / 2 + sway * 6;
  const inside = (cx, cy, rx, ry) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1;
  const head = inside(centre, 165, 54, 68);
  const hair = inside(centre + sway * 2, 138, 66, 66) && (y < 132 || !head);
  if (hair && y < 190) return hsl(hue + 200, 0.25, 0.16);
  if (head) return hsl(26, 0.42, 0.66 - (x - centre) / 900);
  if (Math.abs(x - centre) < 22 && y > 200 && y < 262) return hsl(24, 0.4, 0.56);
  if (inside(centre, 372, 150, 122)) return hsl(hue, 0.38, 0.42 - (x - centre) / 1600);
  const light = 0.36 - 0.22 * Math.hypot(x / WIDTH - 0.2, y / HEIGHT - 0.1);
  return hsl(hue + 30, 0.24, light);
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
