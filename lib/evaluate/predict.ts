// Classes of single images of any size: pixels -> square -> network -> the most probable classes.
// in: a model or a trainer, images -> out: for each the classifier's answer, and every module's.
import { createHash } from 'node:crypto'
import { expected, LocalformerError } from '../base/errors.js'
import {
  boolean,
  integer,
  isArrayOf,
  lazy,
  number,
  parseOptions,
  readArgument,
  zod,
} from '../base/validate.js'
import type { ImageBatch } from '../batch/batch.js'
import type { Image } from '../datasets/read-image.js'
import { checkComputes } from '../device/device.js'
import { inRounds, inTurn } from '../distributed/rounds.js'
import type { Logits } from '../local/evaluation.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import { Trainer } from '../local/trainer.js'
import { isHandle } from '../native/handle.js'
import { largest, softmax } from './scores.js'
import { agreeOnShares } from './shares.js'

export type { Image } from '../datasets/read-image.js'

export interface PredictOptions {
  /** Of each channel over the training images, pixels in 0..1, as the network was trained with. */
  readonly mean: readonly number[]
  /** Standard deviation of the same. */
  readonly std: readonly number[]
  /** Class names, in the order of their numbers; default: the numbers. */
  readonly classes?: readonly string[]
  /** So many of the most probable classes; default 5, or all where there are fewer. */
  readonly top?: number
  /** What the heads before the classifier say, too; for a trainer. Default false. */
  readonly exits?: boolean
  /** Images at a time; default 32. */
  readonly batchSize?: number
  /**
   * All ranks of the process group ask for it at once, with the same images, and each looks at its share of
   * the batches; all get the same answer, that of one process. Default false.
   */
  readonly shared?: boolean
  /** Stops between batches; of several ranks all of them. */
  readonly signal?: AbortSignal
}

/** A class with its probability. */
export interface Guess {
  /** Class number. */
  readonly label: number
  readonly name: string
  /** In [0, 1]: softmax of the logits. */
  readonly probability: number
}

export interface Prediction {
  /** The network's classifier: most probable class first. */
  readonly top: readonly Guess[]
  /** The same of every module's head before it; empty where not asked for. */
  readonly exits: readonly (readonly Guess[])[]
}

const channels = (least: number) =>
  zod().array(number(least), { error: 'three numbers' }).length(3, { error: 'three numbers' })

const schema = lazy(() =>
  zod().object({
    mean: channels(0),
    std: channels(1e-6),
    classes: zod().array(zod().string(), { error: 'a list of names' }).optional(),
    top: integer(1).default(5),
    exits: boolean().default(false),
    batchSize: integer(1).default(32),
    shared: boolean().default(false),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/**
 * Predicts the classes of images of any size. The middle square of each is taken and resized to the
 * network's input as in training on a built-in data set (bilinear, antialiased where it shrinks).
 * What `readImage(file, { size })` gives has the input's size, as the images of `image-folder`.
 *
 * ```ts
 * const { trainer, classes, mean, std } = await loadRun('runs/mine', 'auto')
 * const [cat] = await predict(trainer, [await readImage('cat.png')], { classes, mean, std })
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG`, also where ranks that share it were given different things;
 *   `ERR_SHAPE`, `ERR_BUSY`, `ERR_DISPOSED`, `ERR_DISTRIBUTED`; the signal's reason when it aborts.
 */
export async function predict(
  subject: SwinTransformer | Trainer,
  images: readonly Image[],
  options: PredictOptions,
): Promise<Prediction[]> {
  if (!isHandle(subject, SwinTransformer) && !isHandle(subject, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a model or a trainer', 'subject', subject))
  }
  const o = parseOptions(schema(), options)
  const { config, device } = isHandle(subject, Trainer) ? subject.model : subject
  checkComputes(device, 'predict')
  if (o.classes !== undefined && o.classes.length !== config.classes) {
    const what = `${config.classes} names`
    throw new LocalformerError('ERR_CONFIG', expected(what, 'classes', o.classes.length))
  }
  const squares = readArgument('images', () => squaresOf(images), 'ERR_SHAPE')
  const groups = groupsOf(squares, o.batchSize)
  const answer = async (group: number): Promise<Prediction[]> => {
    const indices = groups[group] as number[]
    const side = squares[indices[0] as number]?.height as number
    const pixels = new Uint8Array(indices.length * 3 * side * side)
    indices.forEach((index, place) => {
      pixels.set((squares[index] as Image).images, place * 3 * side * side)
    })
    const { mean, std } = o
    const batch = { images: pixels, height: side, width: side, mean, std }
    const heads = await headLogits(subject, batch)
    return indices.map((_, row) => {
      const guesses = heads.map((logits) => guessesOf(logits, row, o.top, o.classes))
      return {
        top: guesses[guesses.length - 1] as Guess[],
        exits: o.exits ? guesses.slice(0, -1) : [],
      }
    })
  }
  let answers: Prediction[][]
  if (o.shared) {
    const { signal, shared: _, ...settings } = o
    await agreeOnShares('prediction', subject, {
      ...{ ...settings, images: images.length, imagesSha256: digestOf(squares) },
    })
    answers = await inRounds(groups.length, answer, signal)
  } else {
    answers = await inTurn(groups.length, answer, o.signal)
  }
  const predictions = new Array<Prediction>(images.length)
  groups.forEach((indices, group) => {
    indices.forEach((index, row) => {
      predictions[index] = answers[group]?.[row] as Prediction
    })
  })
  return predictions
}

function digestOf(squares: readonly Image[]): string {
  const hash = createHash('sha256')
  for (const { height, images } of squares) hash.update(`${height} `).update(images)
  return hash.digest('hex')
}

/** Of every head, the classifier's last: of a plain network that one alone. */
async function headLogits(
  subject: SwinTransformer | Trainer,
  batch: ImageBatch,
): Promise<readonly Logits[]> {
  return subject instanceof Trainer ? subject.predict(batch) : [await subject.predict(batch)]
}

function guessesOf(logits: Logits, row: number, top: number, classes?: readonly string[]): Guess[] {
  const count = logits.shape[1] as number
  const probabilities = softmax(logits.data.subarray(row * count, (row + 1) * count))
  return largest(probabilities, top).map((label) => ({
    label,
    name: classes?.[label] ?? `${label}`,
    probability: probabilities[label] as number,
  }))
}

/** Images of the same size go together; each group has at most `batchSize`. */
function groupsOf(squares: readonly Image[], batchSize: number): number[][] {
  const bySide = new Map<number, number[]>()
  squares.forEach(({ height }, index) => {
    const group = bySide.get(height)
    if (group === undefined) bySide.set(height, [index])
    else group.push(index)
  })
  return [...bySide.values()].flatMap((indices) =>
    Array.from({ length: Math.ceil(indices.length / batchSize) }, (_, group) =>
      indices.slice(group * batchSize, (group + 1) * batchSize),
    ),
  )
}

function squaresOf(images: readonly Image[]): Image[] {
  if (Array.isArray(images)) return Array.from(images as readonly Image[], middleSquare)
  throw new LocalformerError('ERR_SHAPE', expected('a list of images', 'images', images))
}

/** The largest square in the middle, rounded to the upper left. */
function middleSquare(image: Image): Image {
  if (typeof image !== 'object' || image === null) {
    throw new LocalformerError('ERR_SHAPE', expected('an image', 'images', image))
  }
  const { height, width, images } = image
  const hasSides = [height, width].every((side) => Number.isSafeInteger(side) && side >= 1)
  if (!hasSides || !isArrayOf(images, Uint8Array) || images.length !== 3 * height * width) {
    throw new LocalformerError(
      'ERR_SHAPE',
      expected(
        hasSides ? `3 x ${height} x ${width} bytes` : 'an image with its height and width',
        'images',
        (images as Uint8Array | undefined)?.length,
      ),
    )
  }
  if (height === width) return { height, width, images }
  const side = Math.min(height, width)
  const [top, left] = [(height - side) >> 1, (width - side) >> 1]
  const square = new Uint8Array(3 * side * side)
  for (let row = 0; row < 3 * side; row++) {
    const [channel, y] = [Math.floor(row / side), row % side]
    const start = (channel * height + top + y) * width + left
    square.set(images.subarray(start, start + side), row * side)
  }
  return { height: side, width: side, images: square }
}
