// Processes that train together, started as a shell would: what each printed and how it ended.
import type { ChildProcess } from 'node:child_process'
import type { ProductTable } from '../../lib/device/products.js'
import type { DeviceCalls } from '../../lib/device/simulation.js'
import type { Traffic } from '../../lib/distributed/distributed.js'
import type { ParallelOptions } from '../../lib/local/parallel.js'
import type { SwinOptions } from '../../lib/local/swin-transformer.js'
import { freePort } from '../../lib/measure/rank-group.js'
import type { TrainOptions } from '../../lib/train/options.js'
import { type Ended, fixture, startProgram } from './child.js'

/** What a rank says on standard error once it trains. */
export const STEPPING = 'stepping'

/** What a process of fixtures/rank.ts does. */
export interface RankJob {
  /** Run spec. */
  readonly run: string
  readonly parallel?: ParallelOptions
  readonly training: TrainOptions
  readonly dropPath?: number
  /** Default: a tiny one. */
  readonly network?: SwinOptions
  /** Training images of the network's size; default: 32 px ones, as many as there are. */
  readonly images?: number
  readonly init?: { readonly joinSeconds?: number; readonly silenceSeconds?: number }
}

/** What one says of what it trained. */
export interface RankReport {
  readonly rank: number
  /** Of each step: the losses and right answers of each module, nulls where another rank has it. */
  readonly steps: readonly (readonly (readonly (number | null)[])[])[]
  /** When each ended, milliseconds. */
  readonly stepsAt: readonly number[]
  readonly epochs: readonly unknown[]
  readonly evaluations: readonly unknown[]
  readonly ranks: readonly {
    readonly rank: number
    readonly modules: readonly string[]
    readonly residentBytes: number
    readonly peakAllocatedBytes: number
    readonly sentBytes: number
    readonly receivedBytes: number
    readonly waitSeconds: number
    readonly seconds: number
  }[]
  /** In all steps. */
  readonly sentBytes: number
  /** Of rank 0: all weights and what the optimizers keep, by name, as numbers that sum them up. */
  readonly weights: Readonly<Record<string, readonly number[]>>
  /** SHA-256 of all of them. */
  readonly digest: string
  /** What computes which product: at first, behind the first step, and at each checkpoint. */
  readonly products: readonly ProductTable[]
}

/** What a process of fixtures/rank-on-card.ts does. */
export interface CardJob {
  /** Run spec. */
  readonly run: string
  /** Default: one process, in no group. */
  readonly parallel?: ParallelOptions
  readonly steps: number
  /** From the third step on the next call of a function on a rank's card gives a status. */
  readonly fails?: { readonly rank: number; readonly call: string; readonly status: number }
}

/** What one says. */
export interface CardReport {
  readonly rank: number
  /** What each step asked of the card. */
  readonly calls: readonly (DeviceCalls | null)[]
  /** Of the last step: whether each module learned, and its loss. */
  readonly modules: readonly (readonly [boolean, number | null])[]
  /** Without cuBLAS's workspaces. */
  readonly residentBytes: number
  /** Of rank 0, when it has all. */
  readonly gatheredBytes: number
  readonly traffic?: Traffic
}

/** One that takes longer hangs. */
const MOST_MS = 300_000

export interface Started {
  readonly children: readonly ChildProcess[]
  /** When all of them train. */
  readonly stepping: Promise<unknown>
  readonly ended: readonly Promise<Ended>[]
}

/** A process a rank; one that hangs is killed after five minutes. */
export async function startRanks(
  count: number,
  argsOf: (rank: number) => readonly string[],
  environmentOf: (rank: number) => Readonly<Record<string, string | undefined>> = () => ({}),
  prefixOf: (rank: number, count: number) => readonly string[] = () => [],
): Promise<Started> {
  const port = await freePort()
  const started = Array.from({ length: count }, (_, rank) => {
    const [program = '', ...args] = [...prefixOf(rank, count), process.execPath, ...argsOf(rank)]
    const environment = {
      ...{ RANK: String(rank), WORLD_SIZE: String(count), LOCAL_RANK: String(rank) },
      ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port) },
      ...environmentOf(rank),
    }
    const { child, stderr, ended } = startProgram(program, args, environment, MOST_MS)
    const stepping = new Promise<void>((resolve) => {
      child.stderr?.on('data', () => {
        if (stderr().includes(STEPPING)) resolve()
      })
      // Those that fail before are seen by how they ended.
      child.on('close', () => resolve())
    })
    return { child, ended, stepping }
  })
  return {
    stepping: Promise.all(started.map(({ stepping }) => stepping)),
    children: started.map(({ child }) => child),
    ended: started.map(({ ended }) => ended),
  }
}

/** Ranks that train to their end; throws what a rank said that did not. */
export async function trainOnRanks(count: number, job: RankJob): Promise<readonly RankReport[]> {
  const { ended } = await startRanks(count, () => [fixture('rank'), JSON.stringify(job)])
  return reportsOf(await Promise.all(ended))
}

/** One process, in no group. */
export async function trainAlone(job: RankJob): Promise<RankReport> {
  const { parallel: _, ...alone } = job
  const { ended } = await startRanks(
    1,
    () => [fixture('rank'), JSON.stringify(alone)],
    () => ({ RANK: undefined, WORLD_SIZE: undefined }),
  )
  return reportsOf(await Promise.all(ended))[0] as RankReport
}

/** The same on simulated cards; without `parallel` one process. */
export async function stepOnCards(count: number, job: CardJob): Promise<readonly CardReport[]> {
  const variables = job.parallel === undefined ? { RANK: undefined, WORLD_SIZE: undefined } : {}
  const args = [fixture('rank-on-card'), JSON.stringify(job)]
  const { ended } = await startRanks(
    count,
    () => args,
    () => variables,
  )
  return reportsOf<CardReport>(await Promise.all(ended))
}

/** Throws what a rank said that did not come to its end. */
export function reportsOf<Report = RankReport>(all: readonly Ended[]): readonly Report[] {
  return all.map(({ code, signal, stdout, stderr }, rank) => {
    if (code !== 0) throw new Error(`rank ${rank} ended with ${code ?? signal}: ${stderr}`)
    return JSON.parse(stdout) as Report
  })
}
