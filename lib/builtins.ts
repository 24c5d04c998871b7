/**
 * What is used of two modules of Node's that are expensive to import. An `import` reads all that a module exports, and some of
 * it is made when it is read: a whole HTTP client, WebCrypto.
 */
import type * as http from 'node:http';

export const { IncomingMessage, ServerResponse } = process.getBuiltinModule('node:http');
export type ServerResponse = http.ServerResponse;

export const { randomBytes, randomUUID } = process.getBuiltinModule('node:crypto');
