/** What workerpool starts: it wants the functions of a module to be registered. */
import workerpool from 'workerpool';

const { default: fallback, ...named } = await import(process.argv[2]);
workerpool.worker({ ...fallback, ...named });
