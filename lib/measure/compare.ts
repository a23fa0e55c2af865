// Compares run specs: each in a fresh process, or several that share it, on the same initial weights and
// the same batches. in: specs and a data set -> out: one row a spec, savings and time against the first row.
import { type ChildProcess, fork } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { bytesOf } from '../base/bytes.js'
import { environmentOfRank } from '../base/environment.js'
import { errorFrom } from '../base/error-message.js'
import { expected, LocalformerError } from '../base/errors.js'
import { median } from '../base/median.js'
import type { Dataset } from '../datasets/dataset.js'
import { batches } from '../datasets/draw-batches.js'
import { resolveDevice, simulatedOn } from '../device/device.js'
import { checkSimulation, type DeviceCalls } from '../device/simulation.js'
import type { Parallel } from '../local/parallel.js'
import { modulesOfSpec, parseRunSpec, type RunSpec, sharedOf } from '../local/run-spec.js'
import { resolveSplit } from '../local/splits.js'
import { resolveSwinConfig, type SwinOptions } from '../local/swin-transformer.js'
import type { MemoryPoint } from '../local/trainer.js'
import type { TrainerOptions } from '../local/trainer-of-spec.js'
import type { Dtype, MathMode, Offload, Precision, Recompute } from '../local/words.js'
import type { Card } from '../simulated/cards.js'
import type { CompareModule, MeasureMessage, Measurement, MeasureRequest } from './measurement.js'
import {
  type Arrangement,
  arrangementsOf,
  type ComparedRank,
  checkArrangement,
  comparedRanks,
  freePort,
  measurementOf,
} from './rank-group.js'

export interface CompareOptions {
  readonly runs: readonly string[]
  readonly data: Dataset
  readonly model: SwinOptions
  /** What the run specs do not say: optimizers, by module too; default: that of the trainers. */
  readonly training?: TrainerOptions
  /** Images in a batch; default 32. */
  readonly batchSize?: number
  /** Measured steps of each process; default 3. */
  readonly steps?: number
  /** Steps before that are not measured; default 1. */
  readonly warmup?: number
  /** Times that every spec is run, in turn, each in a fresh process; default 1. */
  readonly rounds?: number
  /** Of weights and batches; default 0. */
  readonly seed?: number
  /** Upper bound of the bytes that tensors may take, as of `memory.setLimit`; default: none. */
  readonly memoryLimitBytes?: number
  /**
   * File that receives a snapshot of memory for PyTorch's tools; where there are several specs, each has
   * one, with the spec in its name. Default: none.
   */
  readonly memorySnapshot?: string
  /** Record what memory looks like over the last step; default false. */
  readonly timeline?: boolean
  /** On a simulated device: count its calls by module and phase, too; default false. */
  readonly calls?: boolean
  /**
   * Numbers of processes, each of which measures every spec on this machine's CPU: 1 alone, others together,
   * over loopback; default: 1.
   */
  readonly ranks?: readonly number[]
  /** Ways in which several share a spec; default: both. */
  readonly parallel?: readonly Parallel[]
  /** Of an operation, in each process; default: the physical cores, of several ranks each its share. */
  readonly threads?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CompareProgress) => void
}

export interface CompareProgress {
  readonly spec: string
  /** Steps done of all specs and rounds, warm-up included. */
  readonly done: number
  readonly total: number
}

export interface CompareRow {
  readonly spec: string
  readonly method: string
  readonly modules: number
  /** Name of the last unit of each module. */
  readonly split: readonly string[]
  readonly decoder: string | null
  readonly recompute: Recompute
  readonly accumulate: number
  readonly dtype: Dtype
  readonly precision: Precision
  readonly math: MathMode
  readonly offload: Offload
  readonly status: 'ok' | 'out_of_memory'
  /** Processes that measured it; with several, bytes are those of the rank that takes most. */
  readonly ranks: number
  /** How these shared it; null for one. */
  readonly parallel: Parallel | null
  /** Of an operation, in each process. */
  readonly threads: number | null
  /** Of several ranks each; else empty. */
  readonly perRank: readonly ComparedRank[]
  /** Weights, optimizer state, buffers and workspaces between steps. */
  readonly residentBytes: number | null
  /** Of these, what the device's libraries keep for themselves (cuBLAS): the same in every row. */
  readonly workspaceBytes: number | null
  readonly peakAllocatedBytes: number | null
  readonly peakReservedBytes: number | null
  /** Of the whole process: Node, LibTorch and its scratch memory included. */
  readonly peakRssBytes: number | null
  /** The simulated device called cuDNN, whose workspaces are not known: at least so much. */
  readonly isLowerBound: boolean
  /** 1 - peak allocated / that of the first row. */
  readonly savedVsFirst: number | null
  /** 1 - peak reserved / that of the first row: what a card has more room by. */
  readonly savedReservedVsFirst: number | null
  /** What the paper reports for this method and number of modules, against end-to-end training. */
  readonly paperSaving: number | null
  /** Of several ranks those of the one that takes longest, from step to step. */
  readonly stepSeconds: {
    readonly median: number
    readonly min: number
    readonly max: number
  } | null
  /** Of a step of median time. */
  readonly imagesPerSecond: number | null
  /**
   * Of all rounds, spent on measuring what computes products fastest; in no other time. 0 where the
   * cache knew it.
   */
  readonly tuningSeconds: number | null
  /** Step time over that of the first row: median over the rounds. */
  readonly timeVsFirst: number | null
  readonly perModule: readonly CompareModule[]
  /** On a simulated device, of a step; of `mallocs` those of the whole process. */
  readonly calls: DeviceCalls | null
  /** The file with the snapshot of memory, where it was asked for. */
  readonly memorySnapshot?: string
  /** False: it has not room for all events, and the oldest are missing; null where the run failed. */
  readonly isSnapshotComplete?: boolean | null
  /** Of the last step, where it was asked for. */
  readonly timeline?: readonly MemoryPoint[]
}

export interface CompareResult {
  readonly schema: 1
  /** `cpu`, `cuda:0`, or as it was asked for: `sim:rtx3060`. */
  readonly device: string
  /** Name of the simulated card: then times and losses are null, as nothing is computed. */
  readonly simulated: string | null
  readonly versions: {
    readonly localformer: string
    readonly libtorch: string
    readonly node: string
  }
  readonly dataset: string
  readonly imageSize: number
  readonly batchSize: number
  readonly steps: number
  readonly rounds: number
  readonly seed: number
  /** Of LibTorch; null where no run came to an end. */
  readonly threads: number | null
  readonly rows: readonly CompareRow[]
  /** What should be known before the figures are trusted, as sentences; mostly empty. */
  readonly warnings: readonly string[]
}

/** Swin-Tiny, GPU memory against end-to-end training: abstract of arXiv 2212.14215. */
export const PAPER_SAVINGS: Readonly<Record<number, number>> = { 2: 0.36, 4: 0.45 }

/**
 * @throws {LocalformerError} `ERR_CONFIG` before anything is run; whatever a run throws but
 *   `ERR_OUT_OF_MEMORY`, which becomes a row.
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  const { data, model, batchSize = 32, steps = 3, warmup = 1, rounds = 1, seed = 0 } = options
  const specs = options.runs.map((run) => asTrained(parseRunSpec(run), options.training))
  if (specs.length === 0) {
    throw new LocalformerError('ERR_CONFIG', expected('at least one run spec', 'run', specs))
  }
  checkCount('batchSize', batchSize, 1, data.train.count)
  checkCount('steps', steps, 1)
  checkCount('warmup', warmup, 0)
  checkCount('rounds', rounds, 1)
  const memoryLimitBytes = bytesOf(options.memoryLimitBytes ?? 0, 'memoryLimit')
  const config = resolveSwinConfig({ ...model, classes: data.classes.length, seed })
  for (const spec of specs) {
    resolveSplit(spec.split, modulesOfSpec(spec, config.depths), config.depths)
  }
  const arrangements = arrangementsOf(options.ranks, options.parallel)
  const cases = specs.flatMap((spec) => arrangements.map((arrangement) => ({ spec, arrangement })))
  for (const { spec, arrangement } of cases) {
    const modules = modulesOfSpec(spec, config.depths)
    checkArrangement(arrangement, { spec, modules, batchSize })
  }
  if (options.threads !== undefined) checkCount('threads', options.threads, 1, 4096)
  const card = simulatedOn(config.device)
  if (card !== undefined) checkSimulation()
  const device = card === undefined ? resolveDevice(config.device).name : `sim:${card.key}`
  if (arrangements.some(({ ranks }) => ranks > 1)) checkSeveral(options, device)
  const request = {
    model: { ...config, device } as SwinOptions,
    batches: drawBatches(data, batchSize, warmup + steps, seed),
    warmup,
    memoryLimitBytes,
    memorySnapshot: undefined,
    timeline: options.timeline ?? false,
    calls: (options.calls ?? false) && card !== undefined,
    training: { ...options.training, seed },
    threads: options.threads,
  }
  const snapshotFiles = snapshotFilesOf(options.memorySnapshot, specs)
  const measured: (Measurement | undefined)[][] = cases.map(() => [])
  const perRank: (readonly ComparedRank[])[] = cases.map(() => [])
  const total = cases.length * rounds * (warmup + steps)
  let done = 0
  for (let round = 0; round < rounds; round++) {
    for (const [row, { spec, arrangement }] of cases.entries()) {
      const before = done
      const onStep = (step: number) => {
        done = before + step
        options.onProgress?.({ spec: spec.text, done, total })
      }
      onStep(0)
      const { ranks, parallel } = arrangement
      const one = { ...request, spec, parallel, memorySnapshot: snapshotFiles[row] }
      const results = await measure(one, ranks, { signal: options.signal, onStep })
      done = before + warmup + steps
      measured[row]?.push(results && (ranks > 1 ? measurementOf(results) : results[0]))
      perRank[row] = results === undefined ? [] : comparedRanks(results)
    }
  }
  const first = measured[0] ?? []
  // The paper's figures are for Swin-Tiny against end-to-end training.
  const isPapers = specs[0]?.method === 'backprop' && (model.variant ?? 'tiny') === 'tiny'
  const any = measured.flat().find((m) => m !== undefined)
  return {
    schema: 1,
    device,
    simulated: card?.name ?? null,
    versions: any?.versions ?? { localformer: '', libtorch: '', node: process.versions.node },
    dataset: data.name,
    imageSize: config.imageSize,
    batchSize,
    steps,
    rounds,
    seed,
    threads: any?.threads ?? null,
    rows: cases.map(({ spec, arrangement }, row) => ({
      ...makeRow(spec, {
        ...{ rounds: measured[row] ?? [], first, batchSize, perRank: perRank[row] ?? [] },
        ...{ arrangement, paper: isPapers ? paperSaving(spec) : null },
      }),
      ...snapshotOf(snapshotFiles[row], measured[row]?.at(-1)),
    })),
    warnings: card === undefined ? [] : warningsOf(card, specs),
  }
}

/** Memory is the same on a card that computes in bfloat16 natively and on one that does not. */
function warningsOf(card: Card, specs: readonly RunSpec[]): string[] {
  const count = specs.filter(({ dtype }) => dtype === 'bfloat16').length
  if (card.hasBfloat16 || count === 0) return []
  const runs = count === 1 ? '1 run asks' : `${count} runs ask`
  return [
    `${runs} for dtype=bfloat16, but ${card.name} (compute capability ${card.major}.${card.minor}) has no ` +
      'native bfloat16, which begins with 8.0: such a run may be far slower there than float32, or not run.',
  ]
}

/** With what `training` says in the place of what the spec does not: as it is trained, and told. */
function asTrained(spec: RunSpec, training: TrainerOptions = {}): RunSpec {
  return { ...spec, ...sharedOf(training), ...sharedOf(spec.given) }
}

function drawBatches(data: Dataset, batchSize: number, count: number, seed: number) {
  const drawn = []
  for (let epoch = 0; drawn.length < count; epoch++) {
    for (const batch of batches(data.train, {
      batchSize,
      seed,
      epoch,
      shuffle: true,
      dropLast: true,
    })) {
      if (drawn.length === count) break
      drawn.push(batch)
    }
  }
  return drawn
}

/** What a memory record and a simulated device's calls say is one process's. */
function checkSeveral(o: CompareOptions, device: string): void {
  if (device !== 'cpu') {
    throw new LocalformerError(
      'ERR_DEVICE_UNAVAILABLE',
      `Several ranks train on the CPU, not on ${device}`,
      { hint: 'Choose device cpu.' },
    )
  }
  const given = (['memorySnapshot', 'timeline', 'calls'] as const).find((name) => o[name])
  if (given === undefined) return
  throw new LocalformerError('ERR_CONFIG', `\`${given}\` is for one process, not several ranks`)
}

/** One fresh process, or several that share the work; undefined when one ran out of memory. */
async function measure(
  request: MeasureRequest,
  ranks: number,
  own: { readonly signal: AbortSignal | undefined; readonly onStep: (step: number) => void },
): Promise<readonly Measurement[] | undefined> {
  const { signal, onStep } = own
  signal?.throwIfAborted()
  const port = ranks === 1 ? 0 : await freePort()
  // The last one of a group is the one that is behind.
  const processes = Array.from({ length: ranks }, (_, rank) =>
    startProcess(request, {
      ...(ranks === 1 ? {} : { env: environmentOfRank({ rank, worldSize: ranks, port }) }),
      onStep: rank === ranks - 1 ? onStep : () => {},
    }),
  )
  const abort = () => {
    for (const { child } of processes) child.kill('SIGKILL')
  }
  signal?.addEventListener('abort', abort)
  let grace: NodeJS.Timeout | undefined
  const failed: EndedProcess[] = []
  try {
    const results = await Promise.all(
      processes.map(async ({ ended }) => {
        const one = await ended
        if (one.answer?.type === 'result') return one.answer.measurement
        failed.push(one)
        // The others of a group end by themselves, but not at once, and not where they are stuck.
        grace ??= setTimeout(abort, GRACE_MS)
        return undefined
      }),
    )
    if (signal?.aborted) throw signal.reason
    const found = results.filter((one) => one !== undefined)
    return found.length === ranks ? found : failureOf(request.spec, failed)
  } finally {
    clearTimeout(grace)
    signal?.removeEventListener('abort', abort)
    abort()
  }
}

/** A rank that others have failed says so itself within a second, where it is not stuck. */
const GRACE_MS = 5_000

interface EndedProcess {
  readonly answer: Exclude<MeasureMessage, { type: 'step' }> | undefined
  readonly code: number | null
  readonly killedBy: string | null
}

function startProcess(
  request: MeasureRequest,
  { env, onStep }: { readonly env?: NodeJS.ProcessEnv; readonly onStep: (step: number) => void },
): { readonly child: ChildProcess; readonly ended: Promise<EndedProcess> } {
  const child = fork(fileURLToPath(new URL('./measure-child.js', import.meta.url)), {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...(env === undefined ? {} : { env }),
  })
  const ended = new Promise<EndedProcess>((resolve, reject) => {
    let answer: EndedProcess['answer']
    child.on('message', (message: MeasureMessage) => {
      if (message.type === 'step') onStep(message.step)
      else answer = message
    })
    child.on('error', reject)
    child.on('close', (code, killedBy) => resolve({ answer, code, killedBy }))
    child.send(request)
  })
  return { child, ended }
}

/**
 * Undefined where memory ran out.
 *
 * @param failed In the order in which they ended.
 * @throws what went wrong: of several ranks not what the others say of the one that failed.
 */
function failureOf(spec: RunSpec, failed: readonly EndedProcess[]): undefined {
  const errors = failed.flatMap(({ answer }) => (answer?.type === 'error' ? [answer] : []))
  const own = errors.find(({ code }) => code !== 'ERR_DISTRIBUTED')
  const [first] = failed as readonly [EndedProcess]
  const error = own ?? (first.answer?.type === 'error' ? first.answer : undefined)
  if (error?.code === 'ERR_OUT_OF_MEMORY') return undefined
  if (error !== undefined) throw errorFrom(error, `${spec.text}: `)
  // The system's own answer to a process that takes too much.
  if (first.killedBy === 'SIGKILL') return undefined
  throw died(spec, first.code, first.killedBy)
}

function died(spec: RunSpec, code: number | null, signal: string | null): LocalformerError {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`
  return new LocalformerError(
    'ERR_TORCH',
    `The process that measured ${spec.text} ended with ${how}`,
    {
      hint: 'Run `npx localformer doctor`.',
    },
  )
}

interface RowParts {
  readonly rounds: readonly (Measurement | undefined)[]
  /** Of the first row. */
  readonly first: readonly (Measurement | undefined)[]
  readonly batchSize: number
  readonly arrangement: Arrangement
  readonly perRank: readonly ComparedRank[]
  readonly paper: number | null
}

function makeRow(spec: RunSpec, parts: RowParts): CompareRow {
  const { rounds, first, batchSize, arrangement, perRank, paper } = parts
  const ok = rounds.filter((m) => m !== undefined)
  const last = ok.length === rounds.length ? ok[ok.length - 1] : undefined
  const peak = last && highest(ok, 'peakAllocatedBytes')
  const reserved = last && highest(ok, 'peakReservedBytes')
  const isComparable = last !== undefined && first.every((m) => m !== undefined)
  const saved = (bytes: PeakName) =>
    isComparable ? 1 - highest(ok, bytes) / highest(first, bytes) : null
  const seconds = ok.flatMap((m) => m.stepSeconds)
  const isTimed = last !== undefined && seconds.length > 0
  const ratios = rounds.map((m, round) => ratio(m, first[round]))
  const decodes = last?.perModule.some((module) => module.reconstructs) ?? false
  return {
    spec: spec.text,
    method: spec.method,
    modules: last?.perModule.length ?? spec.modules,
    split: last?.perModule.map((module) => module.units[module.units.length - 1] ?? '') ?? [],
    decoder: decodes ? spec.decoder : null,
    recompute: spec.recompute,
    accumulate: spec.accumulate,
    dtype: spec.dtype,
    precision: spec.precision,
    math: spec.math,
    offload: spec.offload,
    status: last ? 'ok' : 'out_of_memory',
    ...arrangement,
    threads: last?.threads ?? null,
    perRank: last ? perRank : [],
    residentBytes: last?.residentBytes ?? null,
    workspaceBytes: last?.workspaceBytes ?? null,
    peakAllocatedBytes: peak ?? null,
    peakReservedBytes: reserved ?? null,
    // Of a process that computes nothing it says nothing.
    peakRssBytes: isTimed ? Math.max(...ok.map((m) => m.peakRssBytes)) : null,
    isLowerBound: (last?.calls?.cudnnCalls ?? 0) > 0,
    savedVsFirst: saved('peakAllocatedBytes'),
    savedReservedVsFirst: saved('peakReservedBytes'),
    paperSaving: paper,
    stepSeconds: isTimed
      ? { median: median(seconds), min: Math.min(...seconds), max: Math.max(...seconds) }
      : null,
    imagesPerSecond: isTimed ? batchSize / median(seconds) : null,
    tuningSeconds: isTimed ? ok.reduce((sum, m) => sum + m.tuningSeconds, 0) : null,
    timeVsFirst: last && ratios.every((r) => r !== null) ? median(ratios as number[]) : null,
    perModule: last?.perModule ?? [],
    calls: last?.calls ?? null,
    ...(last?.timeline === undefined ? {} : { timeline: last.timeline }),
  }
}

/** `a/b.pickle` for every spec: `a/b-paper-4.pickle`; the same spec again with its place. */
function snapshotFilesOf(
  file: string | undefined,
  specs: readonly RunSpec[],
): readonly (string | undefined)[] {
  if (file === undefined || specs.length === 1) return specs.map(() => file)
  const { dir, name, ext } = path.parse(path.resolve(file))
  const words = specs.map(({ text }) => text.replace(/[^a-z0-9]+/gi, '-'))
  return words.map((word, row) => {
    const place = words.indexOf(word) === row ? '' : `-${row + 1}`
    return path.join(dir, `${name}-${word}${place}${ext}`)
  })
}

function snapshotOf(file: string | undefined, last: Measurement | undefined) {
  if (file === undefined) return {}
  return { memorySnapshot: file, isSnapshotComplete: last?.snapshot?.isComplete ?? null }
}

type PeakName = 'peakAllocatedBytes' | 'peakReservedBytes'

function highest(rounds: readonly Measurement[], bytes: PeakName): number {
  return Math.max(...rounds.map((m) => m[bytes]))
}

function paperSaving(spec: RunSpec): number | null {
  const isPlain =
    spec.recompute === 'none' &&
    spec.accumulate === 1 &&
    spec.dtype === 'float32' &&
    spec.offload === 'none' &&
    spec.split === 'stages'
  return spec.method === 'paper' && isPlain ? (PAPER_SAVINGS[spec.modules] ?? null) : null
}

function ratio(one: Measurement | undefined, other: Measurement | undefined): number | null {
  const isTimed = one && other && one.stepSeconds.length > 0 && other.stepSeconds.length > 0
  return isTimed ? median(one.stepSeconds) / median(other.stepSeconds) : null
}

function checkCount(name: string, value: number, min: number, max = 1_000_000): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new LocalformerError(
    'ERR_CONFIG',
    expected(`a whole number from ${min} to ${max}`, name, value),
  )
}
