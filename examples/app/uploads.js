/** What may be uploaded: one photograph of bounded size, or the name of one that comes with the example. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import multer from 'multer';

const LARGEST_PHOTO = 10 * 1024 * 1024;
const LONGEST_FIELD = 320;

export const PHOTOS = fileURLToPath(new URL('./photos/', import.meta.url));
export const samples = readdirSync(PHOTOS).filter((file) => file.endsWith('.jpg'));

const parseForm = multer({
  storage: multer.memoryStorage(),
  // Browsers send the names of files in UTF-8; multer takes them for Latin-1.
  defParamCharset: 'utf8',
  limits: { files: 1, fileSize: LARGEST_PHOTO, fields: 4, fieldSize: LONGEST_FIELD },
}).single('photo');

/** A form that cannot be read is the client's mistake, of whatever kind the error is. */
export function parseUpload(req, res, next) {
  parseForm(req, res, (error) => {
    if (error) Object.assign(error, { status: error.code === 'LIMIT_FILE_SIZE' ? 413 : 400 });
    next(error);
  });
}

/** Refused with a status that Express's error handling understands. */
function refusal(status, message) {
  return Object.assign(new Error(message), { status, expose: true });
}

/** A form may send a field twice, or as `email[name]`: then it is an array or an object. */
function isAddress(email) {
  return typeof email === 'string' && /^[^\s@<>,;:"]+@[^\s@<>,;:"]+$/.test(email);
}

/** Returns what was uploaded; throws a 400 if it is not valid. Whether the bytes are an image is found out by the task. */
export function readUpload({ file, body = {} }) {
  const { email, sample } = body;
  if (!isAddress(email)) throw refusal(400, 'An e-mail address is needed.');
  if (file !== undefined) return { email, name: file.originalname, bytes: file.size, buffer: file.buffer };
  if (samples.includes(sample)) return { email, name: sample, path: `${PHOTOS}${sample}` };
  throw refusal(400, 'A photograph is needed: a file, or the name of a sample.');
}
