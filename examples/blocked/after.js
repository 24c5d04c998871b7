/** The same, moved: the main thread only names the module. `measure.js` starts it. */
import express from 'express';
import { backgroundTasks, blocking } from 'express-background-tasks';
import { listen, orders, report } from './server.js';

const reports = blocking(new URL('./tasks/reports.js', import.meta.url));

const background = backgroundTasks({ watchdog: true });
const app = express();
app.use(background);

app.post('/reports', (_req, res) => {
  res.locals.backgroundTasks.add(reports.sendReport, orders, report);
  res.status(202).end();
});
app.get('/ping', (_req, res) => res.status(204).end());

listen(app, background);
