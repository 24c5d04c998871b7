// workerpool's thread: a task module has to register its functions.
import workerpool from 'workerpool';
import { sha256, sha256Often, timedSha256 } from './hash.mjs';

workerpool.worker({ sha256, sha256Often, timedSha256 });
