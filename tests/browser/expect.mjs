// Waiting and measuring: what a test does besides acting.

/**
 * Runs `look` until it gives something true, and returns that. The error says what was waited for, and last seen: by `diagnose`,
 * where `look` itself says only that it is not yet so.
 */
export async function until(look, what, { within = 20_000, every = 100, diagnose } = {}) {
  const deadline = performance.now() + within;
  let last;
  for (;;) {
    last = await look();
    if (last) return last;
    if (performance.now() > deadline) {
      const seen = diagnose ? await diagnose() : last;
      throw new Error(`${what}: not within ${within / 1000} s (last: ${JSON.stringify(seen)})`);
    }
    await pause(every);
  }
}

/** Lets time pass where the length of a window is what is measured, or where nothing must happen. */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Waits until `look` gives the same number for a while: nothing new comes. What was on its way when something stopped still
 * arrives, so the first look says nothing.
 */
export async function still(look, what, { during = 1_000, within = 20_000, tolerance = 0 } = {}) {
  const deadline = performance.now() + within;
  for (let before = await look(); ; ) {
    await pause(during);
    const now = await look();
    if (Math.abs(now - before) <= tolerance) return;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${within / 1000} s (last: ${before}, then ${now})`);
    before = now;
  }
}

/** Prints a figure in the form that tests/run gathers. */
export function figure(name, value, unit, goal) {
  console.log(`figure ${name} = ${value.toFixed(3)} ${unit} (goal ${goal})`);
}

/** The longest interval between frames from `start` to `end`, in the unit of `times`; the frames around bound it too. */
export function longestInterval(times, start, end) {
  const inside = times.filter((time) => time >= start && time <= end);
  if (inside.length === 0) return Infinity;
  const before = times.filter((time) => time < start).at(-1);
  const points = before === undefined ? inside : [before, ...inside];
  const steps = points.slice(1).map((time, index) => time - points[index]);
  return Math.max(...steps, end - points.at(-1));
}

/** What a fault cost: the longest interval in `after` milliseconds from it, less the longest in `window` before. */
export function gap(times, fault, window, after) {
  const before = longestInterval(times, fault - window, fault);
  const missed = longestInterval(times, fault, fault + after);
  return Math.max(0, missed - (Number.isFinite(before) ? before : 0));
}
