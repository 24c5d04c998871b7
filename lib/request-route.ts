/** A request in words, for the log of what blocked it. */
import type { IncomingMessage } from 'node:http';

/** What Express adds to a request when it has found a route for it. */
interface RoutedRequest extends IncomingMessage {
  readonly route?: { readonly path: unknown };
  readonly baseUrl?: string;
  readonly originalUrl?: string;
}

/**
 * Its route as Express has it, and its path where there is none: without the query. Of where a router is mounted, Express
 * tells the path as it came.
 */
export function routeOf(req: IncomingMessage): { readonly method: string; readonly route: string } {
  const { method = '', route, baseUrl = '', originalUrl, url = '' } = req as RoutedRequest;
  const path = (originalUrl ?? url).split('?', 1)[0] as string;
  return { method, route: typeof route?.path === 'string' ? `${baseUrl}${route.path}` : path };
}
