// Requests by the clock, from another process, to a route that has nothing to do with tasks: the latency that other clients see.
import { start } from './processes.mjs';

const PER_SECOND = 200;

/** The route answers with 204. */
export async function startPings() {
  const generator = await start(new URL('open-loop.mjs', import.meta.url), 'openLoop');
  return {
    /** Of each ping when it was due, and how long it took, in milliseconds. */
    async run(port, milliseconds) {
      const asked = { port, path: '/ping', perSecond: PER_SECOND, milliseconds };
      const { statuses, answers } = await generator.call('run', asked);
      expectOnly(statuses, [204]);
      return answers;
    },
    end: () => generator.end(),
  };
}

export const latenciesOf = (answers) => answers.map(([, latency]) => latency);

export function expectOnly(statuses, expected) {
  const others = Object.keys(statuses).filter((status) => !expected.includes(Number(status)));
  if (others.length > 0)
    throw new Error(`Expected only answers of ${expected.join(', ')}, got ${JSON.stringify(statuses)}.`);
}
