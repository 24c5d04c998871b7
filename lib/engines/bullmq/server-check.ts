/** Checks Redis and BullMQ before they are trusted with tasks. */
import type { EngineHost } from '../../durable/engine.ts';
import { engineError } from '../../errors.ts';
import { toError } from '../../to-error.ts';
import { checkPeerVersion } from '../peer.ts';
import { isAtLeast } from '../version.ts';
import type { EngineClient } from './client.ts';
import { bullmqVersion } from './peers.ts';

/** Older ones start, and then silently fail to do some of what is asked of them. */
const OLDEST_BULLMQ = [6, 4] as const;
const OLDEST_REDIS = [6, 2] as const;

/** What a node of a cluster answers where keys belong to several nodes, or to another. */
const KEPT_APART = /^(?:CROSSSLOT|MOVED) /;

/** @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if BullMQ or Redis is of another version than this engine knows. */
export async function checkVersions(client: EngineClient): Promise<void> {
  checkPeerVersion('bullmq', bullmqVersion, OLDEST_BULLMQ);
  // Valkey answers `redis_version:7.2.4` here.
  const version = /^redis_version:(.+)$/m.exec(await client.info())?.[1]?.trim() ?? '0';
  if (isAtLeast(version, OLDEST_REDIS)) return;
  throw engineError(`Expected Redis ${OLDEST_REDIS.join('.')} or later, or Valkey, got ${version}.`);
}

/** ioredis goes on in the first database where Redis refuses another: the tasks would be with those of others. */
export async function checkDatabase(client: EngineClient): Promise<void> {
  const db = client.options.db ?? 0;
  if (db !== 0) await client.select(db);
}

/**
 * A Redis Cluster answers as any Redis does, until keys are used that it keeps apart: the engine would start, and take nothing.
 *
 * @param keys some that are used together.
 * @throws {BackgroundTaskError} `ERR_BACKGROUND_ENGINE` if Redis does not keep them in one place.
 */
export async function checkOnePlace(client: EngineClient, keys: readonly string[]): Promise<void> {
  try {
    await client.exists(...keys);
  } catch (thrown) {
    const { message } = toError(thrown);
    if (!KEPT_APART.test(message)) throw thrown;
    throw engineError(
      `Expected a Redis that keeps all keys of a queue, got a node of a Redis Cluster: ${message}. Connect to a Redis or Valkey without cluster mode.`,
    );
  }
}

export async function warnOfSettings(client: EngineClient, host: EngineHost): Promise<void> {
  if ((await settingOf(client, 'appendonly')) === 'no') {
    host.warn(
      'Redis keeps no append-only file: tasks that were accepted are lost when it crashes. Set `appendonly yes` there.',
    );
  }
  const policy = await settingOf(client, 'maxmemory-policy');
  if (policy !== undefined && policy !== 'noeviction') {
    host.warn(
      `Redis may drop tasks when its memory is full: its policy is ${policy}. Set \`maxmemory-policy noeviction\` there.`,
    );
  }
}

/** `undefined` where the question is refused, as managed services do. */
async function settingOf(client: EngineClient, name: string): Promise<string | undefined> {
  try {
    const [, value] = (await client.config('GET', name)) as string[];
    return value;
  } catch {
    return undefined;
  }
}
