// Which tensor of a file becomes which parameter of a network, and what is left over on either side.
// in: tensors by the file's names, parameters of the network -> out: values by our names, a report.

import type { Parameter, Tensors } from '../local/swin-transformer.js'
import type { ReadCheckpoint } from './checkpoint.js'
import { isDropped, ourName, type WeightFormat } from './formats.js'
import { resizeBiasTable, windowOfRows } from './position-bias.js'
import { readTrainedOn, type TrainedOn } from './trained-on.js'

/** What became of a file's tensors and of a network's parameters. */
export interface WeightsReport {
  /** Whose names the file has. */
  readonly format: WeightFormat
  /** Parameters that have the file's values. */
  readonly loaded: readonly string[]
  /** Those of them that were resized for another window: bias tables. */
  readonly resized: readonly string[]
  /** `kept`: the network's own values stay, see `classifier` of the options. */
  readonly classifier: 'loaded' | 'kept'
  /**
   * The file's tensors that are not wanted: buffers that follow from the sizes, heads and decoders
   * of `localformer train`, and the classifier where the network's own is kept on purpose.
   */
  readonly dropped: readonly string[]
  /** Parameters that the file lacks. */
  readonly missing: readonly string[]
  /** The file's tensors that the network does not know, by the file's names. */
  readonly unexpected: readonly string[]
  /** Parameters that have another shape in the file. */
  readonly mismatched: readonly Mismatch[]
  /** What the file says of the images that its network was trained on. */
  readonly trainedOn: TrainedOn
}

export interface Mismatch {
  readonly name: string
  /** Shape of the network's parameter. */
  readonly expected: readonly number[]
  /** Shape in the file. */
  readonly received: readonly number[]
}

export interface Plan {
  /** What fits, by our names. */
  readonly values: Tensors
  readonly report: WeightsReport
}

export const CLASSIFIER_CHOICES = ['auto', 'load', 'skip'] as const

export type ClassifierChoice = (typeof CLASSIFIER_CHOICES)[number]

/** Its weight and its bias. */
export const CLASSIFIER: readonly string[] = ['head.fc.weight', 'head.fc.bias']

export function planLoad(
  { tensors, skipped, metadata }: ReadCheckpoint,
  parameters: readonly Parameter[],
  format: WeightFormat,
  classifier: ClassifierChoice,
): Plan {
  const source = matchNames(
    [...Object.keys(tensors), ...skipped.map(({ name }) => name)],
    new Set(Object.keys(tensors)),
    new Set(parameters.map(({ name }) => name)),
    format,
  )
  const keepsClassifier =
    classifier === 'skip' ||
    (classifier === 'auto' && hasOtherClasses(tensors, parameters, source.byOurs))
  const values: Record<string, Tensors[string]> = {}
  const report = {
    loaded: [] as string[],
    resized: [] as string[],
    missing: [] as string[],
    mismatched: [] as Mismatch[],
    dropped: source.dropped,
  }
  for (const parameter of parameters) {
    const { name, shape } = parameter
    const theirs = source.byOurs.get(name)
    const tensor = theirs === undefined ? undefined : tensors[theirs]
    if (keepsClassifier && CLASSIFIER.includes(name)) {
      if (theirs !== undefined) report.dropped.push(theirs)
    } else if (tensor === undefined) {
      report.missing.push(name)
    } else {
      const fitting = fit(parameter, tensor)
      if (fitting === undefined) {
        report.mismatched.push({ name, expected: shape, received: tensor.shape })
        continue
      }
      values[name] = fitting
      report.loaded.push(name)
      if (fitting !== tensor) report.resized.push(name)
    }
  }
  const isLoaded = CLASSIFIER.every((name) => name in values)
  return {
    values,
    report: {
      format,
      ...report,
      unexpected: source.unexpected,
      classifier: isLoaded ? 'loaded' : 'kept',
      trainedOn: readTrainedOn(metadata),
    },
  }
}

interface Matched {
  /** The file's name by ours. */
  readonly byOurs: ReadonlyMap<string, string>
  readonly dropped: string[]
  readonly unexpected: string[]
}

/** `isFloat`: names of tensors that were read; only those can become parameters. */
function matchNames(
  names: readonly string[],
  isFloat: ReadonlySet<string>,
  wanted: ReadonlySet<string>,
  format: WeightFormat,
): Matched {
  const byOurs = new Map<string, string>()
  const dropped: string[] = []
  const unexpected: string[] = []
  for (const name of names) {
    const ours = ourName(format, name)
    if (isDropped(name)) dropped.push(name)
    else if (ours !== undefined && wanted.has(ours) && isFloat.has(name) && !byOurs.has(ours)) {
      byOurs.set(ours, name)
    } else unexpected.push(name)
  }
  return { byOurs, dropped, unexpected }
}

/** Does the file have a classifier that differs from the network's in nothing but the classes? */
function hasOtherClasses(
  tensors: Tensors,
  parameters: readonly Parameter[],
  byOurs: ReadonlyMap<string, string>,
): boolean {
  const [weight, bias] = CLASSIFIER.map((name) => tensors[byOurs.get(name) ?? '']?.shape)
  const [classes, width] = parameters.find(({ name }) => name === CLASSIFIER[0])?.shape ?? []
  if (weight?.length !== 2 || bias?.length !== 1) return false
  return weight[1] === width && weight[0] === bias[0] && weight[0] !== classes
}

/** The tensor in the parameter's shape: itself, a resized bias table, or undefined. */
function fit(parameter: Parameter, tensor: Tensors[string]): Tensors[string] | undefined {
  const { name, shape } = parameter
  if (isSameShape(shape, tensor.shape)) return tensor
  if (!name.endsWith('.relative_position_bias_table')) return undefined
  const [rows, heads] = tensor.shape
  const [from, to] = [rows, shape[0]].map((count) => windowOfRows(count ?? 0))
  const isResizable = tensor.shape.length === 2 && heads !== undefined && heads === shape[1]
  if (!isResizable || from === undefined || to === undefined) return undefined
  return { shape, data: resizeBiasTable(tensor.data, heads, from, to) }
}

function isSameShape(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((side, axis) => side === right[axis])
}
