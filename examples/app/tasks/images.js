/** Work on photographs: for worker threads. It contains nothing about background tasks. */
import sharp from 'sharp';
import { paletteOf } from './palette.js';

/** Of the image whose colours are counted, whatever the shape of the photograph. */
const LONGEST_SIDE = 720;
const PALETTE_COLORS = 5;
const MOST_PIXELS = 50_000_000;

// libvips has native threads of its own; one for each task leaves the other cores to the server.
sharp.concurrency(1);

/**
 * Writes a thumbnail in WebP, and finds the colours that the photograph is made of.
 *
 * Reading and scaling is native code; the palette is a loop in JavaScript that freezes an event loop, as the page's switch shows.
 *
 * @param {Uint8Array | string} photo the photograph's bytes, or the path of its file
 */
export async function thumbnail(photo, width, target) {
  const image = sharp(photo, { limitInputPixels: MOST_PIXELS }).rotate();
  const { data, info } = await image
    .clone()
    .resize({ width: LONGEST_SIDE, height: LONGEST_SIDE, fit: 'inside', withoutEnlargement: true })
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const palette = paletteOf(data, info.channels, PALETTE_COLORS);
  const written = await image.resize({ width, withoutEnlargement: true }).webp({ quality: 78 }).toFile(target);
  return { width: written.width, height: written.height, bytes: written.size, palette };
}
