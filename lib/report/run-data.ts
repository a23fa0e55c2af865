// A run folder -> what a report shows, as plain values. Reads config.json, events.jsonl, the last
// checkpoint's state.json, timeline.json and reconstructions.json; tolerates missing files and lines
// that were not written to their end, since a run may be going on or have been killed.
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
import { type EventData, MAX_MODULES, NO_EVENTS, readEvents } from './event-data.js'
import { type Json, list, number, object, optional, readJson, text } from './json.js'

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

export interface RunData extends Omit<EventData, 'timeline'> {
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
  const { timeline, ...told } = events ?? NO_EVENTS
  const spec = text(known.run) ?? 'unknown'
  const own = timeline.length === 0 ? [] : [timelineOf(spec, timeline, false)]
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
    ...told,
    // Measured ones are of fresh processes on the same terms; they replace the run's own.
    timelines: measured.length > 0 ? measured : own,
    reconstructions: readReconstructions(await readJson(file(RECONSTRUCTIONS_FILE))),
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
