/** Another host on this machine: a network namespace with a link to ours that can be cut. Needs root, and Linux. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { atEnd } from '../../support/cleanup.ts';

const IP = ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip'].find((path) => existsSync(path));
const OUR_ADDRESS = '10.213.77.1';
const ITS_ADDRESS = '10.213.77.2';

/** Why there can be none; `undefined` if there can. */
export const noSecondHost: string | undefined = reason();

function reason(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (IP === undefined) return 'iproute2 is not installed here';
  const name = `background-tasks-${process.pid}-try`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'delete', name);
    return undefined;
  } catch {
    return 'this machine allows no network namespaces';
  }
}

function ip(...args: readonly string[]): void {
  execFileSync(IP as string, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export interface SecondHost {
  /** Where it reaches us. */
  readonly ourAddress: string;
  /** The command that runs another there. */
  readonly within: readonly string[];
  /** From now on nothing comes through, and neither side is told. */
  cut(): void;
  mend(): void;
}

export function startSecondHost(): SecondHost {
  const name = `background-tasks-${process.pid}`;
  const [ours, its] = [`bt${process.pid}a`, `bt${process.pid}b`];
  ip('netns', 'add', name);
  // What is in it goes with it, and the other end of the link as well.
  atEnd(() => ip('netns', 'delete', name));
  ip('link', 'add', ours, 'type', 'veth', 'peer', 'name', its, 'netns', name);
  ip('address', 'add', `${OUR_ADDRESS}/30`, 'dev', ours);
  ip('link', 'set', ours, 'up');
  ip('-netns', name, 'address', 'add', `${ITS_ADDRESS}/30`, 'dev', its);
  ip('-netns', name, 'link', 'set', its, 'up');
  ip('-netns', name, 'link', 'set', 'lo', 'up');
  return {
    ourAddress: OUR_ADDRESS,
    within: [IP as string, 'netns', 'exec', name],
    cut: () => ip('link', 'set', ours, 'down'),
    mend: () => ip('link', 'set', ours, 'up'),
  };
}
