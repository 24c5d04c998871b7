/** The colours that an image is made of: k-means over all of its pixels, in plain JavaScript. */

const ROUNDS = 12;

/** Returns `#rrggbb` strings, the most frequent colour first; fewer than `count` if the image has fewer. */
export function paletteOf(pixels, channels, count) {
  const centers = startingCenters(pixels, channels, count);
  for (let round = 0; round < ROUNDS; round += 1) moveToMeans(centers, pixels, channels);
  return centers
    .filter(({ size }) => size > 0)
    .sort((a, b) => b.size - a.size)
    .map(hexOf);
}

/** Pixels at even distances, so that an image has the same palette each time. */
function startingCenters(pixels, channels, count) {
  const stride = Math.floor(pixels.length / channels / count);
  return Array.from({ length: count }, (_, index) => {
    const offset = (index * stride + Math.floor(stride / 2)) * channels;
    return { red: pixels[offset], green: pixels[offset + 1], blue: pixels[offset + 2], size: 0 };
  });
}

function moveToMeans(centers, pixels, channels) {
  const sums = centers.map(() => ({ red: 0, green: 0, blue: 0, size: 0 }));
  for (let offset = 0; offset < pixels.length; offset += channels) {
    const sum = sums[nearestCenter(centers, pixels[offset], pixels[offset + 1], pixels[offset + 2])];
    sum.red += pixels[offset];
    sum.green += pixels[offset + 1];
    sum.blue += pixels[offset + 2];
    sum.size += 1;
  }
  for (const [index, { red, green, blue, size }] of sums.entries()) {
    if (size > 0) centers[index] = { red: red / size, green: green / size, blue: blue / size, size };
    else centers[index].size = 0;
  }
}

function nearestCenter(centers, red, green, blue) {
  let nearest = 0;
  let smallest = Number.POSITIVE_INFINITY;
  for (let index = 0; index < centers.length; index += 1) {
    const center = centers[index];
    const distance = (center.red - red) ** 2 + (center.green - green) ** 2 + (center.blue - blue) ** 2;
    if (distance < smallest) {
      smallest = distance;
      nearest = index;
    }
  }
  return nearest;
}

function hexOf(color) {
  return `#${[color.red, color.green, color.blue].map((value) => Math.round(value).toString(16).padStart(2, '0')).join('')}`;
}
