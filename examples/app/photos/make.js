/** Makes the three photographs of this folder, the same each time: `node examples/app/photos/make.js`. */
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const WIDTH = 1600;
const HEIGHT = 1066;

const scenes = [
  {
    file: 'dawn-over-ridges.jpg',
    seed: 11,
    sky: ['#2b3a67', '#8a6f9e', '#f0a58f', '#fbe3c0'],
    sun: { x: 1080, y: 560, radius: 54, color: '#fff3d6', halo: '#ffd9a0' },
    ridges: ['#a98aa6', '#7d6b92', '#574f78', '#37375a', '#1d2139'],
    horizon: 600,
  },
  {
    file: 'lake-at-dusk.jpg',
    seed: 5,
    sky: ['#0f2740', '#2d5f7c', '#86a8a6', '#f3d7a2'],
    sun: { x: 420, y: 515, radius: 38, color: '#fff0c9', halo: '#ffcf87' },
    ridges: ['#7f9aa0', '#56777f', '#35555f', '#1e3a45'],
    horizon: 560,
    water: 660,
  },
  {
    file: 'dunes-by-moonlight.jpg',
    seed: 23,
    sky: ['#060b1c', '#12204a', '#2f3f78', '#6f6f9c'],
    sun: { x: 1180, y: 230, radius: 46, color: '#f6f4ea', halo: '#aab6e8' },
    ridges: ['#5b5674', '#4c4560', '#3a3249', '#251f31'],
    horizon: 720,
    smooth: true,
    stars: 170,
  },
];

/** The same numbers on every machine. */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

/** A skyline by midpoint displacement; dunes are the same with fewer steps. */
function skyline(random, height, roughness, steps) {
  let points = [height + (random() - 0.5) * roughness, height + (random() - 0.5) * roughness];
  let range = roughness;
  for (let step = 0; step < steps; step += 1) {
    const next = [points[0]];
    for (let index = 1; index < points.length; index += 1) {
      next.push((points[index - 1] + points[index]) / 2 + (random() - 0.5) * range, points[index]);
    }
    points = next;
    range *= 0.55;
  }
  return points.map((y, index) => [(index * WIDTH) / (points.length - 1), y]);
}

function ridgePath(points, smooth) {
  const line = smooth
    ? points
        .slice(1)
        .map(([x, y], index) => {
          const [fromX, fromY] = points[index];
          return `C ${(fromX + x) / 2} ${fromY} ${(fromX + x) / 2} ${y} ${x} ${y}`;
        })
        .join(' ')
    : points.map(([x, y]) => `L ${x} ${y}`).join(' ');
  return `M 0 ${HEIGHT} L 0 ${points[0][1]} ${line} L ${WIDTH} ${HEIGHT} Z`;
}

function gradient(id, colors) {
  const stops = colors.map((color, index) => `<stop offset="${index / (colors.length - 1)}" stop-color="${color}"/>`);
  return `<linearGradient id="${id}" x1="0" y1="0" x2="0" y2="1">${stops.join('')}</linearGradient>`;
}

function landscape({ seed, sky, sun, ridges, horizon, smooth = false, stars = 0 }) {
  const random = randomFrom(seed);
  const distance = (HEIGHT - horizon) / ridges.length;
  const layers = ridges.map((color, index) => {
    const points = skyline(random, horizon + index * distance, smooth ? 150 : 260 - index * 30, smooth ? 3 : 8);
    const mist = `<rect y="${horizon + index * distance - 60}" width="${WIDTH}" height="${distance + 160}" fill="url(#mist)" opacity="${0.26 - index * 0.045}"/>`;
    return `<path d="${ridgePath(points, smooth)}" fill="${color}"/>${mist}`;
  });
  const points = Array.from({ length: stars }, () => {
    const size = 0.6 + random() * 1.3;
    return `<circle cx="${random() * WIDTH}" cy="${random() * horizon * 0.9}" r="${size}" fill="#fff" opacity="${0.25 + random() * 0.6}"/>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}">
    <defs>${gradient('sky', sky)}
      <linearGradient id="mist" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="${sky.at(-1)}" stop-opacity="0"/><stop offset="1" stop-color="${sky.at(-1)}"/></linearGradient>
      <radialGradient id="halo"><stop offset="0" stop-color="${sun.halo}" stop-opacity=".85"/><stop offset="1" stop-color="${sun.halo}" stop-opacity="0"/></radialGradient>
    </defs>
    <rect width="${WIDTH}" height="${horizon + 120}" fill="url(#sky)"/>
    <rect y="${horizon + 120}" width="${WIDTH}" height="${HEIGHT}" fill="${sky.at(-1)}"/>
    ${points.join('')}
    <circle cx="${sun.x}" cy="${sun.y}" r="${sun.radius * 7}" fill="url(#halo)"/>
    <circle cx="${sun.x}" cy="${sun.y}" r="${sun.radius}" fill="${sun.color}"/>
    ${layers.join('')}
  </svg>`;
}

/** The lower part becomes a darkened reflection of the upper part. */
async function flood(image, shore) {
  const depth = HEIGHT - shore;
  const reflection = await sharp(image)
    .extract({ left: 0, top: shore - depth, width: WIDTH, height: depth })
    .flip()
    .blur(3)
    .modulate({ brightness: 0.78, saturation: 0.85 })
    .toBuffer();
  const ripples = Array.from({ length: 26 }, (_, index) => {
    const y = 8 + index ** 1.75 * 1.5;
    return `<ellipse cx="${420 + ((index * 137) % 90) - 45}" cy="${y}" rx="${40 + index * 9}" ry="${1 + index / 14}" fill="#ffe2ac" opacity="${0.34 - index * 0.011}"/>`;
  });
  const light = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${depth}"><rect width="${WIDTH}" height="3" fill="#0d1f28" opacity=".5"/>${ripples.join('')}</svg>`;
  return sharp(image)
    .composite([
      { input: reflection, top: shore, left: 0 },
      { input: Buffer.from(light), top: shore, left: 0 },
    ])
    .png()
    .toBuffer();
}

for (const scene of scenes) {
  let image = await sharp(Buffer.from(landscape(scene)))
    .blur(0.8)
    .png()
    .toBuffer();
  if (scene.water !== undefined) image = await flood(image, scene.water);
  const file = fileURLToPath(new URL(scene.file, import.meta.url));
  const { size } = await sharp(image).jpeg({ quality: 74, mozjpeg: true }).toFile(file);
  console.log(`${scene.file}: ${Math.round(size / 1024)} kB`);
}
