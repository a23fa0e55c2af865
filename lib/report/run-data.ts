// A run folder -> what a report shows, as plain values. Reads config.json, events.jsonl, the last
// checkpoint's state.json, timeline.json and reconstructions.json; tolerates missing files and lines
// that were not written to their end, since a run may be going on or have been killed.
import { open, readFile } from 'node:fs/promises'
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import {
  CHECKPOINTS_FOLDER,
  CONFIG_FILE,
  EVENTS_FILE,
  INDEX_FILE,
  LAST,
  RECONSTRUCTIONS_FILE,
  TIMELINE_FILE,
} from '../base/run-files.js'
import { type Bucket, Series } from './series.js'

/** A JSON object of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>

export interface ModuleSeries {
  readonly labelLoss: readonly Bucket[]
  readonly reconstructionLoss: readonly Bucket[]
  readonly accuracy: readonly Bucket[]
  /** Highest of its steps. */
  readonly peakAllocatedBytes: number
  /** Mean of its steps. */
  readonly stepSeconds: number
}

export interface EpochPoint {
  readonly epoch: number
  readonly modules: readonly { labelLoss: number; reconstructionLoss: number; accuracy: number }[]
}

export interface EvaluationPoint {
  readonly epoch: number
  readonly accuracy: number
  readonly loss: number
  readonly modules: readonly { accuracy: number; loss: number }[]
}

export interface TimelinePoint {
  readonly seconds: number
  readonly allocatedBytes: number
  readonly module: number
  readonly phase: string
}

export interface Timeline {
  /** Run spec that was measured. */
  readonly spec: string
  readonly points: readonly TimelinePoint[]
  /** True: in a fresh process of its own; false: a step of the run. */
  readonly isFresh: boolean
}

export interface ReconstructionPanel {
  /** Index. */
  readonly module: number
  readonly kind: 'pixels' | 'components'
  readonly height: number
  readonly width: number
  readonly loss: number
  readonly relativeError: number
  /** PNG files in base64, one an image. */
  readonly target: readonly string[]
  readonly prediction: readonly string[]
}

export interface RunData {
  readonly directory: string
  /** Last part of the directory. */
  readonly name: string
  readonly spec: string
  readonly dataset: string
  /** Images of a batch; undefined where the configuration does not say. */
  readonly batchSize: number | undefined
  /** As the run's last checkpoint says; undefined where there is none. */
  readonly classes: number | undefined
  readonly config: Json
  /** Versions, device and threads, as the run's last checkpoint names them; else empty. */
  readonly surroundings: Json
  /** Did it come to its end? */
  readonly isDone: boolean
  readonly steps: number
  readonly totalSteps: number
  /** Of all steps, or of the whole run where it is done. */
  readonly seconds: number
  readonly peakAllocatedBytes: number
  readonly imagesPerSecond: readonly Bucket[]
  readonly learningRate: readonly Bucket[]
  readonly modules: readonly ModuleSeries[]
  readonly epochs: readonly EpochPoint[]
  readonly evaluations: readonly EvaluationPoint[]
  readonly timelines: readonly Timeline[]
  readonly reconstructions: {
    readonly epoch: number
    readonly labels: readonly string[]
    readonly panels: readonly ReconstructionPanel[]
  } | null
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` where the folder holds neither a configuration nor events.
 */
export async function readRun(directory: string): Promise<RunData> {
  const file = (name: string) => path.join(directory, name)
  const config = await readJson(file(CONFIG_FILE))
  const events = await readEvents(file(EVENTS_FILE))
  if (config === undefined && events === undefined) {
    throw new LocalformerError('ERR_CONFIG', `${directory} is no run folder`, {
      hint: 'It holds neither config.json nor events.jsonl, which `localformer train` writes.',
    })
  }
  const known = config ?? {}
  const gathered = events ?? new Gathered()
  const spec = text(known.run) ?? 'unknown'
  const own = gathered.timeline.length === 0 ? [] : [timelineOf(spec, gathered.timeline, false)]
  const measured = readTimelines(await readJson(file(TIMELINE_FILE)))
  const training = object(known.training)
  const index = object(await readJson(file(path.join(CHECKPOINTS_FOLDER, LAST, INDEX_FILE))))
  const kept = object(index.state)
  const { model } = object(object(kept.progress).identity)
  return {
    directory,
    name: path.basename(path.resolve(directory)),
    spec,
    dataset: text(known.dataset) ?? text(object(known.dataset).name) ?? 'unknown',
    batchSize: optional(training.batchSize),
    config: known,
    classes: optional(object(model).classes),
    surroundings: object(kept.surroundings),
    ...gathered.result(),
    // Measured ones are of fresh processes on the same terms; they replace the run's own.
    timelines: measured.length > 0 ? measured : own,
    reconstructions: readReconstructions(await readJson(file(RECONSTRUCTIONS_FILE))),
  }
}

/** Adds up events as they are read, in bounded memory. */
class Gathered {
  timeline: readonly unknown[] = []
  #isDone = false
  #steps = 0
  #totalSteps = 0
  #seconds = 0
  #peak = 0
  readonly #speed = new Series()
  readonly #rate = new Series()
  readonly #modules: ModuleGatherer[] = []
  readonly #epochs: EpochPoint[] = []
  readonly #evaluations: EvaluationPoint[] = []

  add(event: Json): void {
    if (event.type === 'step') this.#addStep(event)
    else if (event.type === 'epoch') this.#addEpoch(event)
    else if (event.type === 'evaluation') this.#addEvaluation(event)
    else if (event.type === 'done') {
      this.#isDone = true
      this.#seconds = number(event.seconds, this.#seconds)
      this.#peak = Math.max(this.#peak, number(event.peakAllocatedBytes, 0))
    }
  }

  #addStep(event: Json): void {
    const step = number(event.step)
    // A resumed run may tell steps again that were told before it was killed.
    if (!(step > this.#steps)) return
    this.#isDone = false
    this.#steps = step
    this.#totalSteps = Math.max(this.#totalSteps, number(event.totalSteps, 0))
    this.#seconds += number(event.seconds, 0)
    this.#peak = Math.max(this.#peak, number(event.peakAllocatedBytes, 0))
    this.#speed.add(step, number(event.imagesPerSecond))
    this.#rate.add(step, number(event.learningRate))
    if (Array.isArray(event.timeline)) this.timeline = event.timeline
    list(event.modules).forEach((module, k) => {
      if (k >= MAX_MODULES) return
      this.#modules[k] ??= new ModuleGatherer()
      this.#modules[k].add(step, object(module))
    })
  }

  #addEpoch(event: Json): void {
    const epoch = number(event.epoch)
    if (!(epoch > (this.#epochs.at(-1)?.epoch ?? 0))) return
    const modules = list(event.modules)
      .map(object)
      .map((module) => ({
        labelLoss: number(module.labelLoss),
        reconstructionLoss: number(module.reconstructionLoss),
        accuracy: number(module.accuracy),
      }))
    this.#epochs.push({ epoch, modules })
  }

  #addEvaluation(event: Json): void {
    const epoch = number(event.epoch)
    if (!(epoch > (this.#evaluations.at(-1)?.epoch ?? 0))) return
    const modules = list(event.modules).map(object).map(scoreOf)
    this.#evaluations.push({ epoch, ...scoreOf(event), modules })
  }

  result() {
    return {
      isDone: this.#isDone,
      steps: this.#steps,
      totalSteps: this.#totalSteps,
      seconds: this.#seconds,
      peakAllocatedBytes: this.#peak,
      imagesPerSecond: this.#speed.buckets,
      learningRate: this.#rate.buckets,
      modules: this.#modules.map((module) => module.result()),
      epochs: this.#epochs,
      evaluations: this.#evaluations,
    }
  }
}

/** More than any network has units. */
const MAX_MODULES = 256

class ModuleGatherer {
  readonly #labelLoss = new Series()
  readonly #reconstructionLoss = new Series()
  readonly #accuracy = new Series()
  #peak = 0
  #seconds = 0
  #steps = 0

  add(step: number, module: Json): void {
    // One that passed features on did not learn.
    if (module.learned === false) return
    this.#labelLoss.add(step, number(module.labelLoss))
    this.#accuracy.add(step, number(module.accuracy))
    const loss = number(module.reconstructionLoss)
    // A module without a decoder has none.
    if (!Number.isNaN(loss)) this.#reconstructionLoss.add(step, loss)
    this.#peak = Math.max(this.#peak, number(module.peakAllocatedBytes, 0))
    this.#seconds += number(module.seconds, 0)
    this.#steps++
  }

  result(): ModuleSeries {
    return {
      labelLoss: this.#labelLoss.buckets,
      reconstructionLoss: this.#reconstructionLoss.buckets,
      accuracy: this.#accuracy.buckets,
      peakAllocatedBytes: this.#peak,
      stepSeconds: this.#seconds / Math.max(1, this.#steps),
    }
  }
}

async function readEvents(file: string): Promise<Gathered | undefined> {
  const gathered = new Gathered()
  try {
    await using handle = await open(file)
    for await (const line of handle.readLines()) {
      const event = parse(line)
      if (event !== undefined) gathered.add(event)
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  return gathered
}

async function readJson(file: string): Promise<Json | undefined> {
  try {
    return parse(await readFile(file, 'utf8'))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function readTimelines(document: Json | undefined): Timeline[] {
  return list(document?.timelines)
    .map(object)
    .map(({ spec, points }) => timelineOf(text(spec) ?? 'unknown', list(points), true))
    .filter(({ points }) => points.length > 0)
}

function timelineOf(spec: string, points: readonly unknown[], isFresh: boolean): Timeline {
  return {
    spec,
    isFresh,
    points: points
      .slice(0, MAX_POINTS)
      .map(object)
      .flatMap((point) => {
        const [seconds, allocatedBytes] = [number(point.seconds), number(point.allocatedBytes)]
        if (!Number.isFinite(seconds + allocatedBytes)) return []
        return [
          {
            seconds,
            allocatedBytes,
            module: number(point.module, 0),
            phase: text(point.phase) ?? '',
          },
        ]
      }),
  }
}

/** More than a step records, so that a file by another hand cannot make a report huge. */
const MAX_POINTS = 8192
const MAX_IMAGES = 16
const MAX_IMAGE_CHARACTERS = 200_000

function readReconstructions(document: Json | undefined): RunData['reconstructions'] {
  const panels = list(document?.modules)
    .slice(0, MAX_MODULES)
    .map(object)
    .map((module) => ({
      module: number(module.module, 0),
      kind: module.kind === 'pixels' ? ('pixels' as const) : ('components' as const),
      height: number(module.height, 1),
      width: number(module.width, 1),
      loss: number(module.loss),
      relativeError: number(module.relativeError),
      target: images(module.target),
      prediction: images(module.prediction),
    }))
  if (document === undefined || panels.length === 0) return null
  const labels = list(document.labels).map((label) => text(label) ?? '')
  return { epoch: number(document.epoch, 0), labels, panels }
}

function images(value: unknown): string[] {
  return list(value)
    .slice(0, MAX_IMAGES)
    .map((png) => text(png) ?? '')
    .filter((png) => /^[A-Za-z0-9+/]+=*$/.test(png) && png.length <= MAX_IMAGE_CHARACTERS)
}

function parse(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Json) : undefined
  } catch {
    // A line that a killed process left half-written.
    return undefined
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function scoreOf(value: Json) {
  return { accuracy: number(value.accuracy), loss: number(value.loss) }
}

function number(value: unknown, fallback = Number.NaN): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}

function optional(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {}
}
