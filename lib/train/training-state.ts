// Where a training run stands, as values that can be stored: how far it is, and every tensor that
// the next step depends on. Whoever puts it back goes on bit for bit.
import { expected, LocalformerError } from '../base/errors.js'
import { differencesBetween, toldDifferences } from '../base/leaves.js'
import type { Evaluation } from '../evaluate/evaluate.js'
import type { SwinConfig, Tensors } from '../local/swin-transformer.js'
import { partsOf, Trainer, type TrainerState } from '../local/trainer.js'
import type { EpochSums } from '../metrics/means.js'
import { isHandle } from '../native/handle.js'
import type { Pace } from './pace.js'

/** Everything that decides the numbers of a run. */
export interface RunIdentity {
  readonly model: Omit<SwinConfig, 'seed'>
  readonly trainer: object
  readonly training: {
    readonly schedule?: string
    readonly epochs?: number
    readonly maxSteps?: number | undefined
  }
  readonly data: object
}

/** How far a run is: plain values, fit for JSON. */
export interface TrainingProgress {
  /** Steps that are done, over all modules of a sequential run. */
  readonly step: number
  /** From 1; 0 before the first one. */
  readonly epoch: number
  /** Steps that are done in this epoch. */
  readonly stepInEpoch: number
  /** What comes next in the epoch: its beginning, its steps or its evaluation. */
  readonly stage: 'begin' | 'steps' | 'evaluation'
  /** Place in the list of modules that a sequential run trains one after the other, from 0. */
  readonly phase: number
  readonly epochSums: EpochSums
  /** Of all steps. */
  readonly pace: Pace
  readonly evaluation: Evaluation | null
  /** Best value so far of the figure that `best` names. */
  readonly best: { readonly value: number; readonly epoch: number } | null
  /** Epochs with that figure since then. */
  readonly epochsSinceBest: number
  readonly seconds: number
  readonly peakAllocatedBytes: number
  /** Which modules only pass features on by now, from the first. */
  readonly frozen: readonly boolean[]
  readonly identity: RunIdentity
}

/** A run between two steps: see {@link captureState}. */
export interface TrainingState extends TrainerState {
  readonly progress: TrainingProgress
  /** Of the network and of the auxiliary parts, not averaged. */
  readonly weights: Tensors
}

/**
 * Copies what a run needs to go on, when `train` gave a `checkpoint` event and before it is asked
 * for the next one.
 *
 * ```ts
 * for await (const event of train(trainer, data, { epochs: 10, state: await store.load() })) {
 *   if (event.type === 'checkpoint') await store.save(await captureState(trainer, event.progress))
 * }
 * ```
 */
export async function captureState(
  trainer: Trainer,
  progress: TrainingProgress,
): Promise<TrainingState> {
  if (!isHandle(trainer, Trainer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a trainer', 'trainer', typeof trainer))
  }
  if (typeof progress !== 'object' || progress === null) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected("a checkpoint's progress", 'progress', progress),
    )
  }
  const network = await trainer.model.readParameters()
  const weights = { ...network, ...(await trainer.readAuxiliary()) }
  return { progress, weights, ...(await trainer.readState()) }
}

/** Puts the tensors and random numbers of a state into a trainer of the same making. */
export async function restoreState(trainer: Trainer, state: TrainingState): Promise<void> {
  const [network, auxiliary] = partsOf(state.weights)
  await trainer.model.writeParameters(network)
  await trainer.writeAuxiliary(auxiliary)
  const { tensors, generator, products } = state
  await trainer.writeState({ tensors, generator, ...(products ? { products } : {}) })
}

/**
 * A run goes on only as what it began, but for more epochs or steps.
 *
 * @throws {LocalformerError} `ERR_CONFIG` that names what differs, with both values.
 */
export function checkIdentity(now: RunIdentity, then: RunIdentity): void {
  const differing = differencesBetween(asLongAs(now, then), then)
  if (differing.length === 0) return
  const told = toldDifferences(
    differing,
    ({ name, one, other }) => `${name} was ${other} and is ${one}`,
  )
  throw new LocalformerError('ERR_CONFIG', `The run differs from its checkpoint: ${told}`, {
    hint: 'Go on with the options and the data set that it began with, or begin a new run.',
    details: { differing: differing.map(({ name }) => name) },
  })
}

/** `now` with the length of `then` where it is longer. */
function asLongAs(now: RunIdentity, then: RunIdentity): RunIdentity {
  const { epochs = 0, maxSteps = Number.POSITIVE_INFINITY } = now.training
  const { epochs: epochsThen = 0, maxSteps: maxThen } = then.training
  const isLonger =
    now.training.schedule === 'together' &&
    epochs >= epochsThen &&
    maxSteps >= (maxThen ?? Number.POSITIVE_INFINITY)
  if (!isLonger) return now
  return { ...now, training: { ...now.training, epochs: epochsThen, maxSteps: maxThen } }
}
