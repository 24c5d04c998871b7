// Python, where there is one that has FastAPI.
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PYTHONS = ['python3', '/usr/bin/python3'];

const python = PYTHONS.find((candidate) => {
  try {
    execFileSync(candidate, ['-c', 'import fastapi, uvicorn'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

/** Why FastAPI cannot be measured here. */
export const withoutFastApi = python === undefined ? 'no python3 with fastapi and uvicorn' : undefined;

/** Starts fastapi_app.py and resolves to its `port` and its `pid`. It ends with this process. */
export function startFastApi() {
  const app = fileURLToPath(new URL('fastapi_app.py', import.meta.url));
  const server = spawn(python, ['-B', app], { stdio: ['pipe', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    server.stdout.once('data', (text) => resolve({ port: Number(text), pid: server.pid }));
    server.once('error', reject);
    server.once('exit', (code) => reject(new Error(`The FastAPI server exited with ${code}.`)));
  });
}
