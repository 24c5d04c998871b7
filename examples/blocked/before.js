/** The fault: a task that computes, on the event loop. `measure.js` starts it. */
import { readFile, writeFile } from 'node:fs/promises';
import express from 'express';
import { backgroundTasks } from 'express-background-tasks';
import { listen, orders, report } from './server.js';

const background = backgroundTasks({ watchdog: true });
const app = express();
app.use(background);

app.post('/reports', (_req, res) => {
  res.locals.backgroundTasks.add(sendReport, orders, report);
  res.status(202).end();
});
app.get('/ping', (_req, res) => res.status(204).end());

async function sendReport(source, target) {
  const rows = JSON.parse(await readFile(source, 'utf8'));
  await writeFile(target, renderRows(rows));
}

function renderRows(rows) {
  return rows
    .sort((one, other) => one.customer.localeCompare(other.customer))
    .map(({ customer, total }) => `<tr><td>${escapeHtml(customer)}</td><td>${total.toFixed(2)}</td></tr>`)
    .join('\n');
}

function escapeHtml(text) {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

listen(app, background);
