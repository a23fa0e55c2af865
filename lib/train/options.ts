// Options of the training loop: types, ranges, defaults.
import type { z } from 'zod'
import {
  helpOf,
  integer,
  lazy,
  number,
  oneOf,
  parseOptions,
  positive,
  zod,
} from '../base/validate.js'
import { type Augmentation, augmentationShape } from '../batch/augmentation.js'
import type { TrainingState } from './training-state.js'

export const SCHEDULES = ['together', 'sequential'] as const

export interface TrainOptions extends Omit<Augmentation, 'seed'> {
  /**
   * `together`, the default: every step trains all modules. `sequential`: the modules are trained one
   * after the other, each for all the epochs with a learning rate that rises and falls anew; those
   * before it only pass features on, in evaluation mode, those behind it do not run, and only its own
   * optimizer is in memory. Modules that are frozen when training begins have no turn.
   */
  readonly schedule?: (typeof SCHEDULES)[number]
  /** Passes over the training split, for `sequential` of each module; default 1. */
  readonly epochs?: number
  /** Images in a batch; the last one of an epoch is left out where it is not full. Default 128. */
  readonly batchSize?: number
  /** Highest learning rate of every module, or a list, one for each of them; default 1e-3. */
  readonly learningRate?: number | readonly number[]
  /** Share of the steps in which the learning rate rises; default 0.05. */
  readonly warmup?: number
  /** Largest L2 norm of each module's gradients in a step, above 0; default: as they are. */
  readonly clipNorm?: number
  /**
   * Decay in [0, 1) of an exponential moving average of all weights, begun at the initial ones (see
   * {@link Trainer.keepAverage}). Evaluations during the run use it, and the trainer still keeps it
   * when the run is over: `trainer.applyAverage()` makes it the weights. For `sequential` a module
   * whose turn is over goes on with its averaged weights, so that the modules behind it learn from
   * the features that they will be evaluated with. Default: none.
   */
  readonly ema?: number
  /** Epochs from one evaluation to the next; the last epoch always has one. Default 1. */
  readonly evaluateEvery?: number
  /** Of the order of the images, crops and flips; default 0. */
  readonly seed?: number
  /** Random crop after padding so many pixels at each edge; default 4. */
  readonly cropPadding?: number
  /** Mirror half of the images; default true. */
  readonly flip?: boolean
  /** Stops after so many steps, for `sequential` of each module; default: with the epochs. */
  readonly maxSteps?: number
  /** Only the first so many training images; default: all. */
  readonly trainLimit?: number
  /** Only the first so many test images; default: all. 0: no evaluation. */
  readonly testLimit?: number
  /** Steps after which a `checkpoint` event is given inside of an epoch; default: none is. */
  readonly checkpointSteps?: number
  /**
   * Which figure of an epoch makes a checkpoint the best, by its column in metrics.csv: `test_accuracy`,
   * the default, `test_loss`, `module_2_test_accuracy`, `module_1_label_loss` and so on. Losses are
   * better when lower.
   */
  readonly best?: string
  /**
   * Ends the run when `best` did not get better in so many epochs that have that figure; default: never.
   * For `schedule: 'together'`.
   */
  readonly patience?: number
  /**
   * Where an earlier run with the same options on the same images stood: it goes on from there bit
   * for bit. `epochs` and `maxSteps` may be larger than they were (for `schedule: 'together'`): the run
   * is then trained further, at the learning rates of the longer run. Undefined: from the beginning.
   */
  readonly state?: TrainingState | undefined
  /**
   * Stops between two steps with everything intact; the generator then gives a last `checkpoint`
   * event and throws its reason.
   */
  readonly signal?: AbortSignal
}

/** The augmentation of a training run has other defaults than that of a single batch. */
const trainAugmentation = lazy(() => {
  const { seed: _, cropPadding, flip, ...shape } = augmentationShape()
  return {
    cropPadding: cropPadding.removeDefault().default(4).describe(helpOf(cropPadding)),
    flip: flip.removeDefault().default(true).describe(helpOf(flip)),
    ...shape,
  }
})

const schema = lazy(() =>
  zod().object({
    schedule: oneOf(SCHEDULES)
      .default('together')
      .describe('All modules in a step, or one after the other'),
    epochs: integer(1).default(1).describe('Passes over the training images'),
    batchSize: integer(1).default(128).describe('Images in a batch'),
    learningRate: zod()
      .union([number(0), zod().array(number(0))], {
        error: 'a number of at least 0, or a list of them, one a module,',
      })
      .default(1e-3)
      .describe('Highest one, or a list, one a module'),
    warmup: number(0, { max: 1 })
      .default(0.05)
      .describe('Share of the steps in which the learning rate rises'),
    clipNorm: positive().optional().describe("Largest norm of a module's gradients"),
    ema: number(0, { below: 1 }).optional().describe('Decay of an average of the weights'),
    evaluateEvery: integer(1).default(1).describe('Epochs from one evaluation to the next'),
    seed: integer(0).default(0).describe('Of the order of the images, crops and flips'),
    ...trainAugmentation(),
    maxSteps: integer(1).optional().describe('Steps after which to stop'),
    trainLimit: integer(1).optional().describe('Only the first so many training images'),
    testLimit: integer(0).optional().describe('Only the first so many test images; 0: none'),
    checkpointSteps: integer(1).optional().describe('Steps between checkpoints in an epoch'),
    best: zod()
      .string({ error: 'the name of a figure, test_accuracy for one,' })
      .default('test_accuracy')
      .describe(
        'Figure that makes a checkpoint the best: test_accuracy, test_loss, module_1_label_loss, ...',
      ),
    patience: integer(1).optional().describe('Epochs without a better one after which to stop'),
    state: zod()
      .custom<TrainingState>((value) => typeof value === 'object' && value !== null, {
        error: 'the state of a run',
      })
      .optional(),
    signal: zod().instanceof(AbortSignal, { error: 'an AbortSignal' }).optional(),
  }),
)

/** @internal Each option by its name, for the configuration and the command line. */
export const trainShape = () => schema().shape

/** Options of a training run with every default filled in. */
export type ResolvedTrainOptions = z.output<ReturnType<typeof schema>>

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveTrainOptions(options: TrainOptions = {}): ResolvedTrainOptions {
  return parseOptions(schema(), options)
}

/** @internal What is done to the images of a batch, but for its seed. */
export function augmentationIn(o: ResolvedTrainOptions): Augmentation {
  const own = Object.keys(trainAugmentation())
  return Object.fromEntries(Object.entries(o).filter(([name]) => own.includes(name)))
}
