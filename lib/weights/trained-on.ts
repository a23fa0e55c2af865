// What the network of a file was trained on, as the file's metadata says: names of the classes, and mean
// and deviation of the channels, without which its logits mean nothing. The keys are those of a run's
// weights: `dataset`, `classes`, `normalisation`. A number in JSON is read as the number it was.
import { expected, LocalformerError } from '../base/errors.js'
import { entriesOf, readArgument } from '../base/validate.js'
import type { Rgb } from '../datasets/dataset.js'

/** Null where it is not known. */
export interface TrainedOn {
  /** Name of the data set. */
  readonly dataset: string | null
  /** Class names in the order of the logits. */
  readonly classes: readonly string[] | null
  /** Of each channel over the training images, pixels in 0..1. */
  readonly mean: Rgb | null
  /** Standard deviation of the same. */
  readonly std: Rgb | null
}

/** What a script may say of it. */
export interface TrainedOnOptions {
  /** Name of the data set. */
  readonly dataset?: string
  /** Class names in the order of the logits, one a class. */
  readonly classes?: readonly string[]
  /** Of each channel over the training images, pixels in 0..1; with `std`. */
  readonly mean?: readonly number[]
  /** Standard deviation of the same. */
  readonly std?: readonly number[]
}

/** What a file says; what is there and no such thing, as in the file of another package, is not said. */
export function readTrainedOn(metadata: Readonly<Record<string, string>>): TrainedOn {
  const { mean, std } = fieldsOf(parse(metadata.normalisation))
  const classes = parse(metadata.classes)
  const isNormalised = isRgb(mean, 0) && isRgb(std, Number.MIN_VALUE)
  return {
    dataset: metadata.dataset ?? null,
    classes: isNames(classes) ? classes : null,
    mean: isNormalised ? mean : null,
    std: isNormalised ? std : null,
  }
}

/** Its entries in a file's metadata. */
export function metadataOf({ dataset, classes, mean, std }: TrainedOn): Record<string, string> {
  return {
    ...(dataset === null ? {} : { dataset }),
    ...(classes === null ? {} : { classes: JSON.stringify(classes) }),
    ...(mean === null ? {} : { normalisation: JSON.stringify({ mean, std }) }),
  }
}

/**
 * @param count Classes of the network.
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function trainedOnOf(options: TrainedOnOptions, count: number): TrainedOn {
  return readArgument('options', () => {
    const { dataset, classes, mean, std } = options
    const refuse = (what: string, name: string, value: unknown) => {
      throw new LocalformerError('ERR_CONFIG', expected(what, name, value))
    }
    if (dataset !== undefined && typeof dataset !== 'string') refuse('a name', 'dataset', dataset)
    if (classes !== undefined && !(isNames(classes) && classes.length === count)) {
      refuse(`${count} names`, 'classes', classes)
    }
    if (mean !== undefined && !isRgb(mean, 0)) refuse('three numbers of at least 0', 'mean', mean)
    if (std !== undefined && !isRgb(std, Number.MIN_VALUE)) {
      refuse('three numbers above 0', 'std', std)
    }
    if ((mean === undefined) !== (std === undefined)) {
      refuse('both or none of `mean` and', 'std', std)
    }
    return {
      dataset: dataset ?? null,
      classes: classes === undefined ? null : [...classes],
      mean: mean === undefined ? null : ([...mean] as unknown as Rgb),
      std: std === undefined ? null : ([...std] as unknown as Rgb),
    }
  })
}

/** @throws {LocalformerError} `ERR_CHECKPOINT` where a file names more or fewer classes than it tells apart. */
export function checkNames(file: string, { classes }: TrainedOn, count: number | undefined): void {
  if (classes === null || count === undefined || classes.length === count) return
  throw new LocalformerError(
    'ERR_CHECKPOINT',
    `${file} names ${classes.length} classes in its metadata, and its classifier tells ${count} apart`,
  )
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function isNames(value: unknown): value is readonly string[] {
  return entriesOf(value)?.every((name) => typeof name === 'string') === true
}

function isRgb(values: unknown, least: number): values is Rgb {
  if (!Array.isArray(values) || values.length !== 3) return false
  return Array.from(values).every((value) => Number.isFinite(value) && value >= least)
}
