// events.jsonl -> what a report tells of it, in bounded memory however long the run is: every metric
// of the tables as a series over the steps, epochs and evaluations as points.
import { openFile } from '../base/files.js'
import { EVALUATION_METRICS } from '../metrics/evaluation-metrics.js'
import { type MetricTable, type PossibleFigures, rowsOf } from '../metrics/metric.js'
import { MODULE_METRICS } from '../metrics/module-metrics.js'
import { STEP_METRICS } from '../metrics/step-metrics.js'
import { isMissing, type Json, list, number, object, parse, text, unreadable } from './json.js'
import { type Bucket, Series } from './series.js'

/** Of every metric, the steps that had it. */
export type MetricSeries<T extends MetricTable> = { readonly [K in keyof T]: readonly Bucket[] }

/** Without the steps in which it only passed features on. */
export type ModuleSeries = MetricSeries<typeof MODULE_METRICS>

export interface EpochPoint {
  readonly epoch: number
  readonly modules: readonly PossibleFigures<typeof MODULE_METRICS>[]
}

export interface EvaluationPoint extends PossibleFigures<typeof EVALUATION_METRICS> {
  readonly epoch: number
  readonly modules: readonly PossibleFigures<typeof EVALUATION_METRICS>[]
}

/** What one of several processes took, of those that trained last. */
export interface RankPoint {
  readonly rank: number
  /** Names. */
  readonly modules: readonly string[]
  readonly residentBytes: number | null
  readonly peakAllocatedBytes: number | null
  readonly sentBytes: number | null
  readonly receivedBytes: number | null
  /** Of its time, for others, 0 to 1. */
  readonly waitedShare: number | null
}

export interface EventData {
  /** Did the run come to its end? */
  readonly isDone: boolean
  readonly steps: number
  /** Null where no step was told of, as with the peak. */
  readonly totalSteps: number | null
  /** Of all steps, or of the whole run where it is done. */
  readonly seconds: number
  readonly peakAllocatedBytes: number | null
  readonly series: MetricSeries<typeof STEP_METRICS>
  readonly modules: readonly ModuleSeries[]
  readonly epochs: readonly EpochPoint[]
  readonly evaluations: readonly EvaluationPoint[]
  /** Of a run that is done by several; else empty. */
  readonly ranks: readonly RankPoint[]
  /** What a step's memory was like, as it was recorded. */
  readonly timeline: readonly unknown[]
}

/** More than any network has units. */
export const MAX_MODULES = 256

/** More than a report can show; a group may have a few times as many. */
const MAX_RANKS = 1024

/** Undefined where there is no such file. */
export async function readEvents(file: string): Promise<EventData | undefined> {
  const gathered = new Gathered()
  try {
    await using handle = await openFile(file)
    for await (const line of handle.readLines()) {
      const event = parse(line)
      if (event !== undefined) gathered.add(event)
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw unreadable(file, error)
  }
  return gathered.result()
}

class SeriesOf<T extends MetricTable> {
  readonly #all: readonly (readonly [keyof T & string, Series])[]

  constructor(table: T) {
    this.#all = rowsOf(table).map(([name]) => [name, new Series()])
  }

  add(step: number, values: Json, weights: Readonly<Record<string, number>> = {}): void {
    for (const [name, series] of this.#all) series.add(step, number(values[name]), weights[name])
  }

  result(): MetricSeries<T> {
    const entries = this.#all.map(([name, { buckets }]) => [name, buckets])
    return Object.fromEntries(entries) as MetricSeries<T>
  }
}

/** Adds up events as they are read. */
class Gathered {
  #isDone = false
  #steps = 0
  #totalSteps: number | null = null
  #seconds = 0
  #peak: number | null = null
  #timeline: readonly unknown[] = []
  #ranks: readonly RankPoint[] = []
  readonly #series = new SeriesOf(STEP_METRICS)
  readonly #modules: SeriesOf<typeof MODULE_METRICS>[] = []
  readonly #epochs: EpochPoint[] = []
  readonly #evaluations: EvaluationPoint[] = []

  add(event: Json): void {
    if (event.type === 'step') this.#addStep(event)
    else if (event.type === 'epoch') this.#addEpoch(event)
    else if (event.type === 'evaluation') this.#addEvaluation(event)
    else if (event.type === 'done') {
      this.#isDone = true
      this.#seconds = number(event.seconds, this.#seconds)
      this.#peak = highest(this.#peak, event.peakAllocatedBytes)
      this.#ranks = list(event.ranks).slice(0, MAX_RANKS).map(object).map(rankOf)
    }
  }

  #addStep(event: Json): void {
    const step = number(event.step)
    // A resumed run may tell steps again that were told before it was killed.
    if (!(step > this.#steps)) return
    this.#isDone = false
    this.#ranks = []
    this.#steps = step
    this.#totalSteps = highest(this.#totalSteps, event.totalSteps)
    this.#seconds += number(event.seconds, 0)
    this.#peak = highest(this.#peak, event.peakAllocatedBytes)
    if (Array.isArray(event.timeline)) this.#timeline = event.timeline
    const took = number(event.seconds) + number(event.waitSeconds, 0)
    // A mean of rates is none; weighed by time it is images over time.
    this.#series.add(step, event, { imagesPerSecond: took })
    list(event.modules).forEach((item, k) => {
      const module = object(item)
      if (k >= MAX_MODULES) return
      this.#modules[k] ??= new SeriesOf(MODULE_METRICS)
      if (module.learned !== false) this.#modules[k].add(step, module)
    })
  }

  #addEpoch(event: Json): void {
    const epoch = number(event.epoch)
    if (!(epoch > (this.#epochs.at(-1)?.epoch ?? 0))) return
    const modules = list(event.modules).map((module) => figuresOf(MODULE_METRICS, object(module)))
    this.#epochs.push({ epoch, modules })
  }

  #addEvaluation(event: Json): void {
    const epoch = number(event.epoch)
    if (!(epoch > (this.#evaluations.at(-1)?.epoch ?? 0))) return
    const figures = (value: unknown) => figuresOf(EVALUATION_METRICS, object(value))
    this.#evaluations.push({ epoch, ...figures(event), modules: list(event.modules).map(figures) })
  }

  result(): EventData {
    return {
      isDone: this.#isDone,
      steps: this.#steps,
      totalSteps: this.#totalSteps,
      seconds: this.#seconds,
      peakAllocatedBytes: this.#peak,
      series: this.#series.result(),
      modules: this.#modules.map((module) => module.result()),
      epochs: this.#epochs,
      evaluations: this.#evaluations,
      ranks: this.#ranks,
      timeline: this.#timeline,
    }
  }
}

/** Of a run that told nothing yet. */
export const NO_EVENTS = new Gathered().result()

function rankOf(told: Json, place: number): RankPoint {
  const of = (name: string) => {
    const value = number(told[name])
    return Number.isNaN(value) ? null : value
  }
  const [waited, seconds] = [number(told.waitSeconds), number(told.seconds)]
  return {
    rank: number(told.rank, place),
    modules: list(told.modules)
      .slice(0, MAX_MODULES)
      .map((name) => text(name) ?? ''),
    ...{ residentBytes: of('residentBytes'), peakAllocatedBytes: of('peakAllocatedBytes') },
    ...{ sentBytes: of('sentBytes'), receivedBytes: of('receivedBytes') },
    waitedShare: waited >= 0 && seconds > 0 ? Math.min(1, waited / seconds) : null,
  }
}

function figuresOf<T extends MetricTable>(table: T, values: Json): PossibleFigures<T> {
  const entries = rowsOf(table).map(([name]) => {
    const value = number(values[name])
    return [name, Number.isNaN(value) ? null : value]
  })
  return Object.fromEntries(entries) as PossibleFigures<T>
}

function highest(before: number | null, value: unknown): number | null {
  const own = number(value)
  return Number.isNaN(own) ? before : Math.max(before ?? own, own)
}
