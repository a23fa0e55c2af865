// Two hosts on one machine: network namespaces with a link of limited speed between them. Needs root.
import { execFileSync, spawnSync } from 'node:child_process'

const ADDRESSES = ['10.99.7.1', '10.99.7.2'] as const

export class Namespaces implements Disposable {
  readonly #names = [0, 1].map((host) => `lf${process.pid}x${host}`) as [string, string]

  /** @param rate As tc writes it: `1gbit`, each way. */
  constructor(rate: string) {
    try {
      for (const name of this.#names) ip('netns', 'add', name)
      const [a, b] = this.#names
      ip('link', 'add', 'v0', 'netns', a, 'type', 'veth', 'peer', 'name', 'v1', 'netns', b)
      this.#names.forEach((name, host) => {
        const link = `v${host}`
        ip('-n', name, 'addr', 'add', `${ADDRESSES[host]}/24`, 'dev', link)
        ip('-n', name, 'link', 'set', link, 'up')
        ip('-n', name, 'link', 'set', 'lo', 'up')
        const limit = ['root', 'tbf', 'rate', rate, 'burst', '256kb', 'latency', '100ms']
        execFileSync('tc', ['-n', name, 'qdisc', 'add', 'dev', link, ...limit], { stdio: 'pipe' })
      })
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** What ranks find each other by. */
  get environment(): Readonly<Record<string, string>> {
    return { MASTER_ADDR: ADDRESSES[0] }
  }

  /** What runs a program on the host of a rank: the first half of them on the first. */
  readonly prefix = (rank: number, count: number): readonly string[] => {
    const host = rank < count / 2 ? 0 : 1
    return ['ip', 'netns', 'exec', this.#names[host] as string]
  };

  [Symbol.dispose](): void {
    for (const name of this.#names) spawnSync('ip', ['netns', 'del', name])
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' })
}
