// Processes of this machine that train together to be measured: who they are, and what all of them come to
// as one measurement.
// in: the measurement of every rank -> out: that of the group.
import { createServer } from 'node:net'
import { expected, LocalformerError } from '../base/errors.js'
import { entriesOf } from '../base/validate.js'
import { MOST_RANKS } from '../distributed/place.js'
import { PARALLEL, type Parallel, resolveParallel } from '../local/parallel.js'
import type { RunSpec } from '../local/run-spec.js'
import type { CompareModule, Measurement, RankMeasurement } from './measurement.js'

/** How many processes measure a run, and what they share. */
export interface Arrangement {
  readonly ranks: number
  /** Null for one process. */
  readonly parallel: Parallel | null
}

/** A rank of a measured group. */
export interface ComparedRank {
  readonly rank: number
  /** Names of its modules. */
  readonly modules: readonly string[]
  /** Between steps. */
  readonly residentBytes: number
  readonly peakAllocatedBytes: number
  /** Of the whole process. */
  readonly peakRssBytes: number
  /** In a step, of tensors. */
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Of its time, waiting for others, 0 to 1. */
  readonly waitedShare: number
}

const ALONE: Arrangement = { ranks: 1, parallel: null }

/**
 * One process for each 1, and every way of sharing for each other number.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function arrangementsOf(ranks: unknown = [1], parallel: unknown = PARALLEL): Arrangement[] {
  const refuse = (what: string, name: string, value: unknown) => {
    throw new LocalformerError('ERR_CONFIG', expected(what, name, value))
  }
  const isCount = (one: unknown) =>
    Number.isInteger(one) && (one as number) >= 1 && (one as number) <= MOST_RANKS
  const counts = entriesOf(ranks)
  if (!counts?.length || !counts.every(isCount) || new Set(counts).size < counts.length) {
    refuse(`a list of different whole numbers from 1 to ${MOST_RANKS}`, 'ranks', ranks)
  }
  const ways = entriesOf(parallel)
  const isWay = (one: unknown) => PARALLEL.includes(one as Parallel)
  if (!ways?.length || !ways.every(isWay) || new Set(ways).size < ways.length) {
    refuse(`a list of ${PARALLEL.join(', ')}`, 'parallel', parallel)
  }
  return (counts as number[]).flatMap((count) =>
    count === 1 ? [ALONE] : (ways as Parallel[]).map((way) => ({ ranks: count, parallel: way })),
  )
}

export interface Shared {
  readonly spec: RunSpec
  readonly modules: number
  readonly batchSize: number
}

/**
 * Refuses, before anything runs, what ranks cannot share.
 *
 * @throws {LocalformerError} `ERR_CONFIG` that names the run.
 */
export function checkArrangement(
  { ranks, parallel }: Arrangement,
  { spec, modules, batchSize }: Shared,
): void {
  if (parallel === null) return
  const refuse = (message: string, hint: string) => {
    throw new LocalformerError('ERR_CONFIG', `${spec.text}: ${message}`, { hint })
  }
  if (parallel === 'modules' && ranks > modules) {
    refuse(
      `${ranks} ranks are more than its ${modules} ${modules === 1 ? 'module' : 'modules'}`,
      'Choose fewer `ranks`, parallel `data`, or a run with more modules.',
    )
  }
  resolveParallel({ parallel }, { modules, worldSize: ranks })
  if (parallel === 'data' && batchSize % ranks !== 0) {
    refuse(
      `a batch of ${batchSize} images cannot be shared by ${ranks} ranks`,
      `\`batchSize\` counts the images of all ranks: choose a multiple of ${ranks}.`,
    )
  }
  if (parallel === 'data' && spec.decoder === 'infopro' && spec.target !== 'none') {
    refuse(
      'decoder infopro normalises over the whole batch, which ranks of parallel data share',
      'Choose parallel modules, or another decoder.',
    )
  }
  if (spec.offload !== 'none') refuse('offload is for one process', 'Leave out `ranks`.')
}

/** A port of this machine that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/**
 * A group as one measurement: memory of the rank that takes most, steps of the one that takes longest (the
 * others wait for it, sooner or later), each module as a rank says it that has it.
 */
export function measurementOf(ranks: readonly Measurement[]): Measurement {
  const [first] = ranks as readonly [Measurement]
  const most = (of: (one: Measurement) => number) => Math.max(...ranks.map(of))
  const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)
  const slowest = ranks.reduce((one, other) =>
    sumOf(other.stepSeconds) > sumOf(one.stepSeconds) ? other : one,
  )
  return {
    ...first,
    residentBytes: most((one) => one.residentBytes),
    peakAllocatedBytes: most((one) => one.peakAllocatedBytes),
    peakReservedBytes: most((one) => one.peakReservedBytes),
    peakRssBytes: most((one) => one.peakRssBytes),
    stepSeconds: slowest.stepSeconds,
    tuningSeconds: most((one) => one.tuningSeconds),
    perModule: first.perModule.map((_, k) => {
      const owner = ranks.findIndex(({ group }) => {
        const [begin, end] = (group as RankMeasurement).modules
        return k >= begin && k < end
      })
      return ranks[owner]?.perModule[k] as CompareModule
    }),
  }
}

/** Of every rank; empty for one process. */
export function comparedRanks(ranks: readonly Measurement[]): ComparedRank[] {
  return ranks.flatMap(({ group, perModule, ...own }, rank) => {
    if (group === null) return []
    const { residentBytes, peakAllocatedBytes, peakRssBytes } = own
    const { modules, sentBytes, receivedBytes, waitedShare } = group
    return {
      ...{ rank, modules: perModule.slice(...modules).map(({ name }) => name) },
      ...{ residentBytes, peakAllocatedBytes, peakRssBytes },
      ...{ sentBytes, receivedBytes, waitedShare },
    }
  })
}
