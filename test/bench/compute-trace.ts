// When processes compute, seen from outside: of each its busiest thread is looked at every few milliseconds.
import { readdirSync, readFileSync } from 'node:fs'

/** Between two looks. */
const EVERY_MS = 25
/** Between two looks at all threads, for the busiest. */
const CHOOSE_EVERY = 80

/** Shares of the time that was looked at. */
export interface ComputeShares {
  /** Of each process. */
  readonly each: readonly number[]
  /** All at once. */
  readonly all: number
}

export class ComputeTrace {
  readonly #pids: readonly number[]
  readonly #timer: NodeJS.Timeout
  #threads: readonly string[] = []
  #looks = 0
  readonly #each: number[]
  #all = 0

  /** Begins. */
  constructor(pids: readonly number[]) {
    this.#pids = pids
    this.#each = pids.map(() => 0)
    this.#timer = setInterval(() => this.#look(), EVERY_MS)
  }

  /** Ends; null where there was nothing to look at. */
  stop(): ComputeShares | null {
    clearInterval(this.#timer)
    if (this.#looks === 0) return null
    return {
      each: this.#each.map((count) => count / this.#looks),
      all: this.#all / this.#looks,
    }
  }

  #look(): void {
    try {
      if (this.#looks % CHOOSE_EVERY === 0) this.#threads = this.#pids.map(busiest)
      const computes = this.#threads.map((file) => /\) R /.test(readFileSync(file, 'latin1')))
      computes.forEach((own, rank) => {
        if (own) this.#each[rank] = (this.#each[rank] as number) + 1
      })
      if (computes.every((own) => own)) this.#all++
      this.#looks++
    } catch {
      // One has ended: what follows is no longer both.
      clearInterval(this.#timer)
    }
  }
}

/** The file that tells the state of the thread that has computed most; proc(5). */
function busiest(pid: number): string {
  const folder = `/proc/${pid}/task`
  const files = readdirSync(folder).map((thread) => `${folder}/${thread}/stat`)
  const ticks = files.map((file) => {
    const fields = readFileSync(file, 'latin1')
      .replace(/^.*\) /, '')
      .split(' ')
    return Number(fields[11])
  })
  return files[ticks.indexOf(Math.max(...ticks))] as string
}
