// poolifier's thread: a task module has to be a worker.
import { ThreadWorker } from 'poolifier';
import { sha256, sha256Often, timedSha256 } from './hash.mjs';

export default new ThreadWorker({ sha256, sha256Often, timedSha256 });
