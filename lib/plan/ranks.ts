// What several processes would take of a training on the CPU: memory of each rank, bytes sent in a step, and
// how long a step takes over a link. in: one process's dry run and the seconds of its modules -> out: a row
// for each way of sharing and number of ranks.
import { expected, LocalformerError } from '../base/errors.js'
import {
  checkKeys,
  checkSignal,
  definedOf,
  entriesOf,
  isA,
  readArgument,
} from '../base/validate.js'
import { mixes } from '../batch/augmentation.js'
import { ResolvedConfig, resolveInput } from '../config/resolve.js'
import type { TrainingConfigInput } from '../config/schema.js'
import { momentsOf } from '../local/offload.js'
import { divisionOf, PARALLEL, type Parallel } from '../local/parallel.js'
import { pinSplit } from '../local/run-spec.js'
import { evenEnds } from '../local/timed-ends.js'
import type { DryRunMeasurement, ModuleTime, ModuleTimes, PlannedModule } from './dry-run.js'
import { DryRunner } from './dry-runner.js'
import { bandwidthOf } from './link.js'
import { classesOf, requestOf, withBatch, withRun } from './request.js'

export interface PlanRanksOptions {
  /** Numbers of ranks; default 1, 2, 4, 8 and 16, as far as modules and batch allow. */
  readonly ranks?: readonly number[]
  /** Ways of sharing; default both. */
  readonly parallel?: readonly Parallel[]
  /** Between two ranks: `10Gbit/s`, the default, `1GB/s`, `nvlink` (450 GB/s), or bytes a second. */
  readonly link?: string | number
  /** Until a byte arrives, seconds; default 50 microseconds. */
  readonly latencySeconds?: number
  /** Batches that a stage may be ahead of the next one; default 1. */
  readonly inFlight?: number
  /** Number of classes; default: the data set's. */
  readonly classes?: number
  /** Threads of each rank, by which modules are timed; default: the physical cores. */
  readonly threads?: number
  readonly signal?: AbortSignal
}

/** One rank of a planned group. */
export interface PlannedRank {
  readonly rank: number
  /** Names of its modules. */
  readonly modules: readonly string[]
  /** Between steps. */
  readonly residentBytes: number
  readonly peakAllocatedBytes: number
  /** In a step, of tensors. */
  readonly sentBytes: number
  /** Computing. */
  readonly seconds: number
}

/** A way of sharing a training. */
export interface RankRow {
  readonly spec: string
  readonly parallel: Parallel
  readonly ranks: number
  readonly batchSize: number
  readonly perRank: readonly PlannedRank[]
  /** Of a step; an estimate. */
  readonly stepSeconds: number
  readonly imagesPerSecond: number
  /** Against one rank. */
  readonly speedup: number
}

const DEFAULT_RANKS = [1, 2, 4, 8, 16]
const LATENCY_SECONDS = 50e-6
/** Of a module's step its forward pass, which hides the sums of the module before. */
const FORWARD_SHARE = 1 / 3
const KEYS = [
  ...['ranks', 'parallel', 'link', 'latencySeconds', 'inFlight', 'classes', 'threads', 'signal'],
]

/**
 * What a configuration would take on several ranks, each of them a process as this one is. Memory is an
 * allocator's; times are those of modules that were timed here, and of the link.
 *
 * ```ts
 * const rows = await planRanks({ run: 'paper:4,split=timed' }, { ranks: [1, 2, 4], link: '10Gbit/s' })
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG`; `ERR_OUT_OF_MEMORY` where not even one process can train it here.
 */
export async function planRanks(
  config: TrainingConfigInput | ResolvedConfig = {},
  options: PlanRanksOptions = {},
): Promise<readonly RankRow[]> {
  const o = readArgument('options', () => checkOptions(options))
  const resolved = isA(config, ResolvedConfig) ? config : resolveInput(config)
  const classes = o.classes ?? classesOf(resolved)
  const { batchSize } = resolved.config.training
  const target = { device: 'cpu', computes: false }
  const { cuts, modules: times } = await timesOf(resolved, classes, o)
  // Where cuts go by time nothing that is not computed can find them.
  const cut = withRun(resolved, pinSplit(resolved.spec, cuts))
  await using runner = await DryRunner.start(target, o.signal)
  const measured = new Map<number, DryRunMeasurement>()
  const measure = async (images: number) => {
    const known = measured.get(images)
    if (known !== undefined) return known
    const request = requestOf(withBatch(cut, images), classes)
    const result = await runner.run({ ...request, limitBytes: 0 }, o.signal)
    if (result.status !== 'ok') throw new LocalformerError('ERR_OUT_OF_MEMORY', result.message)
    measured.set(images, result)
    return result
  }
  const whole = await measure(batchSize)
  const alone = sumOf(secondsOf(times, batchSize))
  const rows: RankRow[] = []
  for (const parallel of o.parallel) {
    for (const ranks of o.ranks) {
      const fits = parallel === 'data' ? batchSize % ranks === 0 : ranks <= whole.modules.length
      if (!fits) continue
      const images = parallel === 'data' ? batchSize / ranks : batchSize
      const parts = { resolved, ranks, seconds: secondsOf(times, images), options: o }
      const perRank =
        parallel === 'data' ? sharedRanks(await measure(images), parts) : stagedRanks(whole, parts)
      const stepSeconds =
        parallel === 'data' ? sharedSeconds(whole.modules, parts) : stagedSeconds(perRank, parts)
      rows.push({
        ...{ spec: resolved.spec.text, parallel, ranks, batchSize, perRank, stepSeconds },
        ...{ imagesPerSecond: batchSize / stepSeconds, speedup: alone / stepSeconds },
      })
    }
  }
  return rows
}

interface Parts {
  readonly resolved: ResolvedConfig
  readonly ranks: number
  /** Of each module, for the images that a rank has. */
  readonly seconds: readonly number[]
  readonly options: Checked
}

/** Weights, optimizer state and averages of a module. */
function keptBytes({ parameters }: PlannedModule, { config }: ResolvedConfig): number {
  const { name, momentum } = config.optimizer
  const moments = momentsOf({ optimizer: name, momentum })
  return 4 * parameters * (1 + moments + (config.training.ema === undefined ? 0 : 1))
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)

function messageBytes(module: PlannedModule, { config }: ResolvedConfig): number {
  const { batchSize } = config.training
  const labels = mixes(config.training) ? 8 + 12 : 8
  return module.featureBytes + batchSize * labels + HEADER_BYTES
}

/** Of native/core/distributed/feature_link.cc. */
const HEADER_BYTES = 16 * 8

function stagedRanks(whole: DryRunMeasurement, parts: Parts): PlannedRank[] {
  const { resolved, ranks, seconds, options } = parts
  const { modules, residentBytes } = whole
  const kept = modules.map((module) => keptBytes(module, resolved))
  const buffers = residentBytes - sumOf(kept)
  const ends = evenEnds(seconds, ranks)
  return Array.from({ length: ranks }, (_, rank) => {
    const { first, last } = divisionOf(ends, { rank, worldSize: ranks })
    const own = modules.slice(first, last)
    const [before, after] = [modules[first - 1], last < modules.length ? own.at(-1) : undefined]
    // The next batch is on its way in, the last ones on their way out.
    const incoming = before === undefined ? 0 : messageBytes(before, resolved)
    const outgoing = after === undefined ? 0 : options.inFlight * after.featureBytes
    const resident = buffers + sumOf(kept.slice(first, last)) + incoming
    const highest = Math.max(...own.map(({ peakAllocatedBytes }) => peakAllocatedBytes))
    return {
      rank,
      modules: own.map(({ name }) => name),
      residentBytes: resident,
      peakAllocatedBytes: resident + outgoing + highest - residentBytes,
      sentBytes: after === undefined ? 0 : messageBytes(after, resolved),
      seconds: sumOf(seconds.slice(first, last)),
    }
  })
}

/** A stage a step behind the other: the slowest of them, or of the links between them, sets the pace. */
function stagedSeconds(perRank: readonly PlannedRank[], { options }: Parts): number {
  const links = perRank.map(({ sentBytes }) =>
    sentBytes === 0 ? 0 : options.latencySeconds + sentBytes / options.link,
  )
  return Math.max(...perRank.map(({ seconds }) => seconds), ...links)
}

/** Over a ring of all ranks; of one alone nothing. */
const ringBytes = (bytes: number, ranks: number) => Math.floor((bytes * 2 * (ranks - 1)) / ranks)

/** Losses, right answers, samples and whether to stop, which travel with the gradients. */
function numberBytes(isLast: boolean, { spec }: ResolvedConfig): number {
  const reconstructs = !isLast && spec.target !== 'none' && spec.method !== 'backprop'
  const count = 4 + (reconstructs ? 1 : 0) + (spec.penaltyWeight > 0 ? 1 : 0)
  return 8 * count
}

function sharedRanks(share: DryRunMeasurement, { resolved, ranks, seconds }: Parts): PlannedRank[] {
  const { modules, residentBytes } = share
  const isShared = ranks > 1
  const copies = modules.map(({ smallBytes }) => (isShared ? smallBytes : 0))
  const travelling = modules.map(({ parameters }, k) =>
    isShared ? 4 * parameters + (copies[k] as number) : 0,
  )
  // While a module runs forward the gradients of the one before it are added up.
  const highest = modules.map(({ phasePeakBytes: { forward, update, losses, backward } }, k) =>
    Math.max(forward + (travelling[k - 1] ?? 0), losses, backward, update + (copies[k] as number)),
  )
  const sent = modules.map(
    ({ parameters }, k) =>
      ringBytes(4 * parameters, ranks) +
      ringBytes(numberBytes(k === modules.length - 1, resolved), ranks),
  )
  return Array.from({ length: ranks }, (_, rank) => ({
    rank,
    modules: modules.map(({ name }) => name),
    residentBytes,
    peakAllocatedBytes: Math.max(...highest),
    sentBytes: sumOf(sent),
    seconds: sumOf(seconds),
  }))
}

function sharedSeconds(
  modules: readonly PlannedModule[],
  { ranks, seconds, options }: Parts,
): number {
  const waits = modules.map(({ parameters }, k) => {
    const bytes = ringBytes(4 * parameters, ranks)
    const sums = bytes / options.link + 2 * (ranks - 1) * options.latencySeconds
    const hidden = (seconds[k + 1] ?? 0) * FORWARD_SHARE
    return Math.max(0, sums - hidden)
  })
  return sumOf(seconds) + sumOf(waits)
}

/** Of each module in a step of so many images. */
function secondsOf(times: readonly ModuleTime[], images: number): readonly number[] {
  return times.map(
    ({ secondsPerImage, secondsPerStep }) => secondsPerStep + images * secondsPerImage,
  )
}

/** How long modules take on this machine, in a process of its own. */
async function timesOf(
  resolved: ResolvedConfig,
  classes: number,
  { threads, signal }: Checked,
): Promise<ModuleTimes> {
  await using runner = await DryRunner.start({ device: 'cpu', computes: true }, signal)
  const request = { ...requestOf(resolved, classes), limitBytes: 0, ...definedOf({ threads }) }
  // Awaited here: the process ends with this function.
  return await runner.time(request, signal)
}

type Checked = ReturnType<typeof checkOptions>

function checkOptions(given: PlanRanksOptions) {
  checkKeys(given, 'options', KEYS)
  const {
    ranks = DEFAULT_RANKS,
    parallel = PARALLEL,
    link = '10Gbit/s',
    latencySeconds = LATENCY_SECONDS,
    inFlight = 1,
    ...rest
  } = given
  const refuse = (what: string, name: string, value: unknown) => {
    throw new LocalformerError('ERR_CONFIG', expected(what, name, value))
  }
  const counts = entriesOf(ranks)
  if (!counts?.length || !counts.every((one) => Number.isInteger(one) && (one as number) >= 1)) {
    refuse('a list of whole numbers of at least 1', 'ranks', ranks)
  }
  const ways = entriesOf(parallel)
  if (!ways?.length || !ways.every((one) => PARALLEL.includes(one as Parallel))) {
    refuse(`a list of ${PARALLEL.join(', ')}`, 'parallel', parallel)
  }
  if (!(Number.isFinite(latencySeconds) && latencySeconds >= 0)) {
    refuse('a number of at least 0', 'latencySeconds', latencySeconds)
  }
  if (!(Number.isInteger(inFlight) && inFlight >= 0 && inFlight <= 64)) {
    refuse('a whole number from 0 to 64', 'inFlight', inFlight)
  }
  checkSignal(rest.signal)
  return { ranks, parallel, link: bandwidthOf(link), latencySeconds, inFlight, ...rest }
}
