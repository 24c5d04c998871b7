// What one request of the soak asks for: usually work, sometimes a fault.

/** How often each is drawn, of the tasks of an executor. */
const COMMON = {
  succeed: 40,
  compute: 12,
  rest: 12,
  fail: 4,
  throwNull: 1,
  failAtFirst: 5,
  heed: 1,
  returnAFunction: 2,
  leaveAThrow: 1,
};
const BEHAVIOURS = {
  'event-loop': { ...COMMON, neverSettle: 1 },
  thread: {
    ...COMMON,
    loop: 0.6,
    exit: 0.6,
    exitAtFirst: 0.6,
    fillHeap: 0.15,
    leaveAThrowingTimer: 0.6,
    noSuchExport: 0.5,
  },
  process: {
    ...COMMON,
    loop: 0.6,
    exit: 0.6,
    exitAtFirst: 0.6,
    abort: 0.3,
    kill: 0.6,
    leaveAThrowingTimer: 0.6,
    ignoreTheEnd: 0.2,
  },
};

const WHEN = ['always', 'always', 'always', 'success', 'failure'];

export function makePlan(random) {
  const plan = {
    status: random.chance(0.05) ? 500 : 202,
    hold: random.chance(0.2) ? random.integer(1, 200) : 0,
    throws: random.chance(0.02),
    tasks: Array.from({ length: random.integer(0, 4) }, () => makeTask(random)),
  };
  return random.chance(0.05) ? { ...plan, hold: plan.hold + 20, hangUpAfter: random.integer(0, 40) } : plan;
}

function makeTask(random) {
  const executor = random.pick(['event-loop', 'event-loop', 'thread', 'thread', 'process']);
  return {
    executor,
    behaviour: weighted(random, BEHAVIOURS[executor]),
    argument: random.integer(1, 15),
    when: random.pick(WHEN),
    timeout: random.integer(300, 600),
    attempts: random.integer(1, 3),
    priority: random.integer(-2, 2),
    cancelAfter: random.chance(0.03) ? random.integer(0, 50) : undefined,
    addsAnother: random.chance(0.05),
  };
}

function weighted(random, weights) {
  const sum = Object.values(weights).reduce((total, weight) => total + weight, 0);
  let left = (random.integer(0, 999_999) / 1_000_000) * sum;
  for (const [name, weight] of Object.entries(weights)) {
    left -= weight;
    if (left < 0) return name;
  }
  return Object.keys(weights)[0];
}
