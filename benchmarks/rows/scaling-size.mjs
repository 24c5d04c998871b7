import { fileURLToPath } from 'node:url';
import { backgroundTasks, blocking, move } from 'express-background-tasks';
import { Piscina } from 'piscina';
import { compareCurves, LINEAR } from '../support/curves.mjs';
import { median } from '../support/statistics.mjs';

const [KIB, MIB] = [2 ** 10, 2 ** 20];
const POINTS = [0, KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB];

export const row = {
  title: 'scaling: size of the argument',
  what: `One blocking task at a time, whose argument is a Uint8Array of 0 to ${POINTS.at(-1) / MIB} MiB and whose result is its length; measured from adding the task to having its result. The argument is copied, or moved to the thread: by \`move\` here, by \`transferList\` in Piscina. The time for a byte ${LINEAR}.`,
  rival: '`piscina.run` by hand',
  toReach: {},
};

const url = new URL('../tasks/size.mjs', import.meta.url);

/** `runOne` resolves to what the task returns. Making the argument is not measured. */
function bySize(runOne) {
  return {
    async run({ size, isMoved, milliseconds }) {
      const latencies = [];
      const copied = new Uint8Array(size).fill(1);
      const deadline = performance.now() + milliseconds;
      do {
        const bytes = isMoved ? new Uint8Array(size) : copied;
        const startedAt = performance.now();
        const value = await runOne(bytes, isMoved);
        latencies.push(performance.now() - startedAt);
        if (value !== size) throw new Error(`Expected ${size} bytes to arrive, got ${value}.`);
        if (isMoved && bytes.byteLength > 0) throw new Error(`Expected ${size} bytes to be moved.`);
      } while (performance.now() < deadline);
      return median(latencies);
    },
  };
}

export function ours() {
  const background = backgroundTasks({ pool: { maxThreads: 1 } });
  const { sizeOf } = blocking(url);
  return bySize(async (bytes, isMoved) => (await background.add(sizeOf, isMoved ? move(bytes) : bytes).settled).value);
}

export function rival() {
  const pool = new Piscina({ filename: fileURLToPath(url), maxThreads: 1, recordTiming: false, atomics: 'sync' });
  return bySize((bytes, isMoved) =>
    pool.run(bytes, { name: 'sizeOf', transferList: isMoved ? [bytes.buffer] : undefined }),
  );
}

async function runPoint(side, size, milliseconds) {
  const of = { size, milliseconds: milliseconds / 2 };
  return {
    copied: await side.call('run', { ...of, isMoved: false }),
    moved: await side.call('run', { ...of, isMoved: true }),
  };
}

function text(size) {
  if (size === 0) return 'nothing';
  return size < MIB ? `${size / KIB} KiB` : `${size / MIB} MiB`;
}

const ofOne = (latency, size) => (size === 0 ? undefined : latency / size);

export const measure = (settings) =>
  compareCurves(import.meta.url, settings, {
    points: POINTS,
    text,
    // 0 has no logarithm: it is drawn one step before the smallest.
    place: (size) => (size === 0 ? KIB / 16 : size),
    roundMs: 500,
    runPoint,
    costs: [
      { what: 'copied', unit: 'ms', key: 'copied', ofOne },
      { what: 'moved', unit: 'ms', key: 'moved', ofOne },
    ],
    title: 'Arguments, copied and moved to a thread',
    subtitle: 'One blocking task at a time. Medians over the rounds.',
    xLabel: 'size of the argument',
    panels: [
      {
        label: 'From add to result (ms)',
        lines: [
          { name: 'copied', side: 'ours', key: 'copied' },
          { name: 'moved', side: 'ours', key: 'moved' },
          { name: 'Piscina, copied', side: 'rival', key: 'copied' },
          { name: 'Piscina, moved', side: 'rival', key: 'moved' },
        ],
      },
    ],
  });
