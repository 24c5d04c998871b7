// `npm run bench:profile -- one-task`: where the main thread's time goes in a row of servers, of bursts or of durable tasks, side by side.
import { profileBurst, profileEngine, profileServer } from './support/profiles.mjs';

const ROWS = {
  'no-task': profileServer,
  'one-task': profileServer,
  watchdog: profileServer,
  burst: profileBurst,
  'engines-redis': profileEngine,
};
const [name, seconds = '8'] = process.argv.slice(2);
const profile = ROWS[name];
if (profile === undefined) throw new Error(`Expected a row, one of ${Object.keys(ROWS).join(', ')}, got ${name}.`);

const row = new URL(`rows/${name}.mjs`, import.meta.url).href;
const sides = [
  await profile(row, 'ours', Number(seconds) * 1_000),
  await profile(row, 'rival', Number(seconds) * 1_000),
];
const places = [...new Set(sides.flatMap((side) => Object.keys(side)))];
const format = (value = 0) => value.toFixed(2).padStart(8);

console.log(
  `Node ${process.versions.node}, ${name}: microseconds of the main thread for one, by where they are spent\n`,
);
console.log(`${'ours'.padStart(8)}${'rival'.padStart(8)}  place`);
for (const place of places.sort((one, other) => (sides[0][other] ?? 0) - (sides[0][one] ?? 0))) {
  console.log(`${format(sides[0][place])}${format(sides[1][place])}  ${place}`);
}
