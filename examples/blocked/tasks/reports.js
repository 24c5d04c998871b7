/** The same lines as in `before.js`; only `export` is new. */
import { readFile, writeFile } from 'node:fs/promises';

export async function sendReport(source, target) {
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
