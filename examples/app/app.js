/** The application: an upload is answered at once, and its four tasks run after the response. */
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { backgroundTasks, blocking, defineTask, move } from 'express-background-tasks';
import { createEventStream } from './events.js';
import { createFollower } from './follow.js';
import { startSmtpServer } from './smtp.js';
import { openAuditLog } from './tasks/audit.js';
import { thumbnail } from './tasks/images.js';
import { createMailer } from './tasks/mail.js';
import { openRecords } from './tasks/records.js';
import * as registry from './tasks/registry.js';
import { PHOTOS, parseUpload, readUpload, samples } from './uploads.js';
import { viewOf } from './view.js';

const PUBLIC = fileURLToPath(new URL('./public/', import.meta.url));
const THUMBNAIL_WIDTH = 320;
const BATCH = 20;
/** What clients are told; the reason, which may contain internal addresses, goes to the log. */
const SERVER_ERRORS = { 500: 'Internal error', 503: 'The server cannot accept this now. Try again in a moment.' };

/** The mistake, for demonstration: the same function, imported and added. Only the page's switch uses it. */
const thumbnailOnEventLoop = defineTask(thumbnail, { name: 'thumbnail' });

/**
 * @param options.folder where everything is written: thumbnails, audit log, database
 * @param options.logger as the option of `backgroundTasks`
 * @param options.engine what keeps the thumbnails' tasks, if anything does
 */
export async function createApp({ folder, logger, engine }) {
  // This decides where thumbnails are made: in a thread of this process, or by a worker that outlives it.
  const images = engine
    ? registry.images
    : blocking(new URL('./tasks/images.js', import.meta.url), { timeout: 20_000 });

  const thumbnails = join(folder, 'thumbnails');
  const uploads = join(folder, 'uploads');
  await Promise.all([thumbnails, uploads].map((path) => mkdir(path, { recursive: true })));
  const events = createEventStream();
  const smtp = await startSmtpServer((mail) => events.send('mail', mail));
  const { record, ...records } = await openRecords(join(folder, 'records'));
  const { audit, ...auditLog } = openAuditLog(join(folder, 'audit.log'));
  const { mail, ...mailer } = createMailer({ port: smtp.port });

  const background = backgroundTasks({
    // The tasks of an upload are independent: the mail need not wait for the thumbnail.
    order: 'parallel',
    // An upload that ends as an error (a full backlog, say) leaves nothing half done.
    when: 'success',
    // Waiting photographs are kept in memory: this bounds them to 80 uploads, of four tasks and at most 10 MB each.
    maxBacklog: 320,
    pool: { minThreads: 1 },
    context: (req) => ({ requestId: req.id }),
    // Off where NODE_ENV says production, unless it is asked for, as here: the page shows what it sees.
    watchdog: { threshold: 50 },
    logger,
    engine,
    // Longer than any response here. If the server dies before it releases a task, the task runs after this time.
    durable: { hold: 10_000 },
  });
  const follow = createFollower(background, events.send);
  background
    .on('started', (event) => isHandedOver(event) || events.send('started', event))
    .on('retrying', (event) => events.send('retrying', viewOf(event)))
    .on('settled', (outcome) => (isHandedOver(outcome) ? follow(outcome.id) : events.send('settled', viewOf(outcome))))
    .on('blocked', (block) => events.send('blocked', block));

  /** All tasks of an upload are added here. The lines are the same wherever the tasks run. */
  function addUploadTasks(tasks, { id, email, name, bytes, photo }) {
    return [
      tasks.add(images.thumbnail, photo, THUMBNAIL_WIDTH, thumbnailFile(id)),
      tasks.add(mail, email, name),
      tasks.add(audit, 'photo.uploaded', { email, name, bytes }),
      tasks.add(record, id, { email, name, bytes, receivedAt: new Date().toISOString() }),
    ];
  }

  function addThumbnailBatch(tasks, id, task) {
    return Array.from({ length: BATCH }, (_, index) => {
      const photo = join(PHOTOS, samples[index % samples.length]);
      return tasks.add(task, photo, THUMBNAIL_WIDTH, thumbnailFile(`${id}-${index}`));
    });
  }

  /** The buffer is moved to the thread, not copied. A worker, which has memory of its own, is given a file. */
  async function handOn(buffer, id) {
    if (!engine) return move(buffer);
    const path = join(uploads, id);
    await writeFile(path, buffer);
    return path;
  }

  function thumbnailFile(id) {
    return join(thumbnails, `${id}.webp`);
  }

  const app = express();
  app.disable('x-powered-by');
  app.use((req, res, next) => {
    req.id = randomUUID();
    res.set({ 'Content-Security-Policy': "default-src 'self'; img-src 'self' blob:", 'X-Request-Id': req.id });
    next();
  });
  app.use(background);

  app.post('/uploads', parseUpload, async (req, res) => {
    const { id } = req;
    const { buffer, path, ...upload } = readUpload(req);
    const photo = buffer === undefined ? path : await handOn(buffer, id);
    const handles = addUploadTasks(res.locals.backgroundTasks, { id, ...upload, photo });
    // Without an engine it is resolved already. With one, the thumbnail is safe from here on, or the answer is 503.
    await Promise.all(handles.map(({ accepted }) => accepted));
    res.status(202).json({ id, name: upload.name, thumbnail: `/thumbnails/${id}.webp`, tasks: handles.map(viewOf) });
  });

  app.post('/thumbnails', async (req, res) => {
    const task = req.query.executor === 'event-loop' ? thumbnailOnEventLoop : images.thumbnail;
    const handles = addThumbnailBatch(res.locals.backgroundTasks, req.id, task);
    await Promise.all(handles.map(({ accepted }) => accepted));
    res.status(202).json({ id: req.id, tasks: handles.map(viewOf) });
  });

  app.get('/ping', (_req, res) => res.set('Cache-Control', 'no-store').status(204).end());
  app.get('/events', events.connect);
  app.get('/samples', (_req, res) => res.json(samples));
  app.get('/mails', (_req, res) => res.json(smtp.mails));
  app.get('/stats', (_req, res) => res.json(background.stats()));

  app.get('/tasks/:id', async (req, res) => {
    const found = await background.find(req.params.id);
    if (found === undefined) res.status(404).json({ error: 'No such task, or too long ago.' });
    else res.json(viewOf(found));
  });

  app.get('/records/:id', async (req, res) => {
    const found = await records.find(req.params.id);
    if (found === undefined) res.status(404).json({ error: 'No such record.' });
    else res.json(found);
  });

  app.use('/thumbnails', express.static(thumbnails));
  app.use('/photos', express.static(PHOTOS));
  app.use(express.static(PUBLIC));

  app.use((error, _req, res, next) => {
    if (res.headersSent) return next(error);
    // Refusals by the package (503) have their status and headers, those of an upload their status.
    const status = error.status ?? 500;
    if (status === 500) console.error(error);
    res.status(status).set(error.headers ?? {});
    res.json({ error: SERVER_ERRORS[status] ?? error.message });
  });

  return {
    app,
    background,
    /** What keeps the HTTP server from closing. */
    endStreams: events.close,
    /** Closes what the tasks write to: to be called when no task is left. */
    async close() {
      mailer.close();
      await Promise.all([smtp.close(), auditLog.close(), records.close()]);
    },
  };
}

/** Whether this process only handed the task over: it runs elsewhere. */
function isHandedOver({ executor, state = 'completed' }) {
  return executor === 'engine' && state === 'completed';
}
