// metrics.csv: a line a step and one an evaluation, in columns that a run never changes; RFC 4180.
// Events of training -> text. What a line does not tell is empty.
import type { ModuleProgress, RunEvent } from '../train/events.js'

type Row = Readonly<Record<string, number | null | undefined>>

const OF_A_STEP = [
  'step',
  'epoch',
  // From 1, for a sequential run.
  'active_module',
  'learning_rate',
  'images_per_second',
  'peak_allocated_bytes',
  'peak_reserved_bytes',
  'test_accuracy',
  'test_loss',
] as const

const OF_A_MODULE = [
  'label_loss',
  'reconstruction_loss',
  'accuracy',
  'gradient_norm',
  'peak_allocated_bytes',
  'test_accuracy',
] as const

/** The columns of a run with so many modules: `module_1_label_loss` and so on. */
export function metricsColumns(modules: number): string[] {
  const names = Array.from({ length: modules }, (_, k) => `module_${k + 1}`)
  return [...OF_A_STEP, ...names.flatMap((name) => OF_A_MODULE.map((part) => `${name}_${part}`))]
}

/** The first line. */
export function metricsHeader(modules: number): string {
  return `${metricsColumns(modules).join(',')}\r\n`
}

/** The line of an event; empty for one that has none. `step`: how many are done. */
export function metricsLine(event: RunEvent, modules: number, step: number): string {
  const row = rowOf(event, step)
  if (row === undefined) return ''
  return `${metricsColumns(modules)
    .map((name) => row[name] ?? '')
    .join(',')}\r\n`
}

function rowOf(event: RunEvent, step: number): Row | undefined {
  if (event.type === 'step') {
    return {
      step: event.step,
      epoch: event.epoch,
      active_module: event.activeModule === null ? null : event.activeModule + 1,
      learning_rate: event.learningRate,
      images_per_second: event.imagesPerSecond,
      peak_allocated_bytes: event.peakAllocatedBytes,
      peak_reserved_bytes: event.peakReservedBytes,
      ...columnsOf(event.modules, moduleColumns),
    }
  }
  if (event.type !== 'evaluation') return undefined
  return {
    ...{ step, epoch: event.epoch, test_accuracy: event.accuracy, test_loss: event.loss },
    ...columnsOf(event.modules, ({ accuracy }) => ({ test_accuracy: accuracy })),
  }
}

function moduleColumns(module: ModuleProgress): Row {
  // One that only passes features on has a loss too, but learns nothing from it.
  const { learned, labelLoss, reconstructionLoss } = module
  return {
    label_loss: learned ? labelLoss : null,
    reconstruction_loss: learned ? reconstructionLoss : null,
    accuracy: learned ? module.accuracy : null,
    gradient_norm: module.gradientNorm,
    peak_allocated_bytes: module.peakAllocatedBytes,
  }
}

function columnsOf<T>(modules: readonly T[], columns: (module: T) => Row): Row {
  const entries = modules.flatMap((module, k) =>
    Object.entries(columns(module)).map(([name, value]) => [`module_${k + 1}_${name}`, value]),
  )
  return Object.fromEntries(entries)
}
