/** A request in words, for the log of what blocked it. */
import type { IncomingMessage } from 'node:http';
import type { BlockedRequest } from './watchdog/block.ts';

/** What Express adds to a request when it has found a route for it. An application may have set any of it to anything. */
interface RoutedRequest extends IncomingMessage {
  readonly route?: { readonly path: unknown } | null;
  readonly baseUrl?: unknown;
  readonly originalUrl?: unknown;
}

/**
 * Its route as Express has it, and its path where there is none: without the query. Of where a router is mounted, Express
 * tells the path as it came.
 */
export function routeOf(req: IncomingMessage): BlockedRequest {
  const { method = '', route, baseUrl, originalUrl, url } = req as RoutedRequest;
  const path = (textOf(originalUrl) ?? textOf(url) ?? '').split('?', 1)[0] as string;
  const routePath = textOf(route?.path);
  return { method, route: routePath === undefined ? path : `${textOf(baseUrl) ?? ''}${routePath}` };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
