/** The registry, which web processes and workers both import when an engine keeps tasks: names that stand for modules. */
import { durable } from 'express-background-tasks';

export const images = durable('images', new URL('./images.js', import.meta.url), { timeout: 20_000 });
