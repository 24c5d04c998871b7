// Compares a server that gets far more tasks than it can do with the same server when it is idle.
import { interleave, pickTwo, stretch } from './interleave.mjs';
import { expectOnly, figuresOfPings, startPings } from './pings.mjs';
import { plot } from './plot.mjs';
import { start } from './processes.mjs';

export const TASK_MS = 20;
export const THREADS = 1;
export const OVERLOAD = 10;
const PER_SECOND = (OVERLOAD * THREADS * 1_000) / TASK_MS;

/** A p99 needs hundreds of pings. */
const ROUND = 3_000;
/** The backlog is full when the pings begin. */
const LEAD = 1_000;
const MEGABYTE = 2 ** 20;

export async function compareOverload(row, settings) {
  const load = await start(new URL('open-loop.mjs', import.meta.url), 'openLoop');
  const pings = await startPings();
  const seen = {};
  const totals = { accepted: 0, refused: 0 };

  /** A server whose backlog is empty before, and empty afterwards. */
  async function measure(side, milliseconds) {
    const name = await side.call('name');
    const isAsked = name !== 'rival';
    const port = await side.call('port');
    const before = await side.call('drained');
    await side.call('sample');
    const overload = isAsked
      ? load.call('run', { port, path: '/task', perSecond: PER_SECOND, milliseconds: LEAD + milliseconds })
      : undefined;
    await pause(LEAD);
    const { answers, sample } = await pings.run(side, milliseconds);
    const asked = await overload;
    const after = await side.call('drained');
    const samples = await side.call('samples');
    seen.limit = await side.call('limit');
    if (name === 'ours') judge(asked, before, after, samples, seen.limit);
    else if (isAsked) expectOnly(asked.statuses, [202, 503]);
    seen[name] = { answers, samples, asked };
    const rss = Math.max(...samples.map((sample) => sample.rss)) / MEGABYTE;
    return { operations: answers.length, rss, ...sample };
  }

  function judge({ sent, statuses, withRetryAfter }, before, after, samples, limit) {
    expectOnly(statuses, [202, 503]);
    const [accepted, refused] = [statuses[202] ?? 0, statuses[503] ?? 0];
    totals.accepted += accepted;
    totals.refused += refused;
    if (accepted + refused !== sent) throw new Error(`${sent} requests were sent, ${accepted + refused} answered.`);
    if (withRetryAfter !== refused) throw new Error(`Of ${refused} refusals ${withRetryAfter} said Retry-After.`);
    const [added, completed] = [after.added - before.added, after.completed - before.completed];
    if (added !== accepted || completed !== accepted) {
      throw new Error(`${accepted} tasks were accepted, ${added} added, ${completed} completed.`);
    }
    const most = Math.max(...samples.map(({ backlog }) => backlog));
    if (most > limit) throw new Error(`The backlog held ${most} tasks, with a limit of ${limit}.`);
    if (most < limit) throw new Error(`The backlog of ${limit} tasks was never full: ${most} at most.`);
  }

  try {
    const stretched = { ...stretch(settings, { sides: 3, roundMs: ROUND, times: 2 }), warmUp: 1 };
    const samples = await interleave(row, stretched, measure, { others: ['bare'] });
    return {
      figures: [
        ...figuresOfPings(samples),
        { what: 'resident memory at its highest', unit: 'MB', ...pickTwo(samples, 'rss') },
      ],
      facts: [
        `tasks accepted ${totals.accepted}, all completed`,
        `requests refused with 503 and Retry-After ${totals.refused}`,
      ],
      plot: draw(seen),
    };
  } finally {
    await Promise.all([load.end(), pings.end()]);
  }
}

/** The last round of each side, over the same time. */
function draw({ ours, rival, bare, limit }) {
  const [{ at: startedAt }] = ours.samples;
  const overTime = (of) => ours.samples.map((sample) => [(sample.at - startedAt) / 1_000, of(sample)]);
  const worst = ({ answers }) =>
    binned(answers, 100, (latencies) => Math.max(...latencies)).map(([ms, latency]) => [(LEAD + ms) / 1_000, latency]);
  const perSecond = (status) =>
    binned(
      ours.asked.answers.map(([dueAt, , of]) => [dueAt, of]),
      250,
      (statuses) => statuses.filter((of) => of === status).length * 4,
    ).map(([ms, count]) => [ms / 1_000, count]);
  return plot({
    title: `${OVERLOAD} times the load that the threads can do`,
    subtitle: `${PER_SECOND.toLocaleString('en')} requests a second with a task of ${TASK_MS} ms each, ${THREADS} thread. Last round of the run.`,
    xLabel: 'seconds since the load began',
    panels: [
      {
        label: 'Requests a second',
        series: [
          { name: 'accepted (202)', points: perSecond(202) },
          { name: 'refused (503)', points: perSecond(503) },
        ],
      },
      {
        label: 'Tasks not settled',
        series: [
          { name: 'backlog', points: overTime(({ backlog }) => backlog) },
          { name: 'maxBacklog', limit },
        ],
      },
      {
        label: 'Resident memory of the server (MB)',
        series: [{ name: 'overloaded', points: overTime(({ rss }) => rss / MEGABYTE) }],
      },
      {
        label: 'Slowest ping of each 100 ms (ms)',
        series: [
          { name: 'overloaded', points: worst(ours) },
          { name: 'idle', points: worst(rival) },
          { name: 'asked as often, without tasks', points: worst(bare) },
        ],
      },
    ],
  });
}

/** From pairs of a time and a value: the values of each interval, reduced by `reduce`, at its middle. */
function binned(pairs, width, reduce) {
  const bins = new Map();
  for (const [time, value] of pairs) {
    const bin = Math.floor(time / width);
    bins.set(bin, [...(bins.get(bin) ?? []), value]);
  }
  return [...bins].sort(([a], [b]) => a - b).map(([bin, values]) => [(bin + 0.5) * width, reduce(values)]);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
