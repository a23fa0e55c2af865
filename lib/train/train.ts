// The training loop as an asynchronous generator of events: dataset -> batches -> steps -> events.

import { LocalformerError } from '../base/errors.js'
import { oneAhead } from '../batch/batch-ahead.js'
import type { Dataset } from '../datasets/dataset.js'
import * as memory from '../device/memory.js'
import { abandon, orAbandon } from '../distributed/group.js'
import { type Evaluation, evaluateHeads } from '../evaluate/evaluate.js'
import type { ModuleTrainer } from '../local/module-trainer.js'
import { partsOf, type Trainer } from '../local/trainer.js'
import { meansOf, withStep } from '../metrics/means.js'
import { preparations, type StepInput } from './batches.js'
import {
  type Course,
  checkpointEvent,
  endsCourse,
  identityOf,
  isStopped,
  judgeEpoch,
  type Phase,
  planCourse,
  ratesAt,
  resumeCourse,
  secondsOf,
} from './course.js'
import type { DoneEvent, TrainEvent } from './events.js'
import { resolveTrainOptions, type TrainOptions } from './options.js'
import { paceWith, throughputOf } from './pace.js'
import { agreeOn, figuresOfAll, sumsOfAll } from './together.js'
import { checkIdentity } from './training-state.js'

/**
 * The events of a training, which goes on as they are asked for; awaited it runs to its end and gives
 * the last event. (So an `async` function that returns it trains, too.)
 */
export interface TrainingEvents
  extends AsyncGenerator<TrainEvent, void, undefined>,
    PromiseLike<DoneEvent> {}

/**
 * Trains on a data set; every event is given when it happened.
 *
 * ```ts
 * for await (const event of train(trainer, data, { epochs: 10 })) {
 *   if (event.type === 'epoch') console.log(event.epoch, event.modules)
 * }
 * const { evaluation } = await train(trainer, data, { epochs: 10 }) // or without looking on
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG`, and what a trainer's `step` throws; the signal's reason
 *   when it aborts.
 */
export function train(trainer: Trainer, data: Dataset, options: TrainOptions = {}): TrainingEvents {
  const events = eventsOf(trainer, data, options)
  let ended: Promise<DoneEvent> | undefined
  return Object.assign(events, {
    // biome-ignore lint/suspicious/noThenProperty: awaiting what trains has to train.
    then: ((onDone, onError) => {
      ended ??= drain(events)
      return ended.then(onDone, onError)
    }) as PromiseLike<DoneEvent>['then'],
  })
}

async function drain(events: AsyncGenerator<TrainEvent, void, undefined>): Promise<DoneEvent> {
  for await (const event of events) if (event.type === 'done') return event
  throw new LocalformerError('ERR_BUSY', 'The events of this training were asked for before', {
    hint: 'Await `train(...)`, or loop over it, not both.',
  })
}

async function* eventsOf(
  trainer: Trainer,
  data: Dataset,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, void, undefined> {
  const course = planCourse(trainer, data, resolveTrainOptions(options))
  const { ema, state, signal } = course.options
  const isShared = trainer.division !== undefined
  const prepare = async () => {
    if (state !== undefined) checkIdentity(await identityOf(course), state.progress.identity)
    if (ema !== undefined) await trainer.keepAverage(ema)
    if (state !== undefined) await resumeCourse(course, state)
  }
  // Where one rank alone cannot begin the others would wait for it.
  await (isShared ? orAbandon(prepare) : prepare())
  if (isShared) {
    await agreeOn(trainer, await identityOf(course), course.step)
    // A rank on another processor did not take the state's.
    await trainer.agreeOnProducts()
  }
  try {
    yield* runPhases(course)
  } catch (error) {
    const isCommonStop = course.stop.isOwn(error)
    if (isShared && !isCommonStop) await abandon(asTold(error, signal))
    // A module's step happens as a whole or not at all; those before it have taken theirs.
    if (!isShared && isFailedStep(error) && course.step > (state?.progress.step ?? 0))
      yield await checkpointEvent(course, 'failed')
    // Between two steps: everything is as the last one left it.
    const isAborted = signal?.aborted === true && error === signal.reason
    if (isShared ? isCommonStop : isAborted) yield await checkpointEvent(course, 'interrupted')
    throw error
  }
  const { step: steps, residentBytes, peakAllocatedBytes, evaluation } = course
  const [seconds, imagesPerSecond] = [secondsOf(course), throughputOf(course.pace)]
  // Behind the last checkpoint there was no step: everything is still on rank 0.
  const ranks = await figuresOfAll(trainer, {
    ...{ residentBytes, peakAllocatedBytes, seconds: seconds - course.secondsBefore },
  })
  const stoppedEarly = steps < course.phases.length * course.stepsPerPhase && isStopped(course)
  yield {
    ...{ type: 'done', steps, seconds, imagesPerSecond, evaluation },
    // Of the rank that took most.
    peakAllocatedBytes: Math.max(
      peakAllocatedBytes,
      ...(ranks ?? []).map((rank) => rank.peakAllocatedBytes),
    ),
    stoppedEarly,
    ...(ranks === undefined ? {} : { ranks }),
  }
}

/** What other ranks hear of an error: one that was stopped has not failed by itself. */
function asTold(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted !== true || error !== signal.reason) return error
  return new Error(
    'it was told to stop, and ranks with modules before its own were not: stop rank 0, or all of them',
  )
}

/** A step that the data or the machine did not allow, after which the weights are still good. */
function isFailedStep(error: unknown): boolean {
  if (!(error instanceof LocalformerError)) return false
  return error.code === 'ERR_NON_FINITE' || error.code === 'ERR_OUT_OF_MEMORY'
}

/**
 * @internal What `train` refuses before its first step, for whoever makes room for a run.
 *
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkTraining(trainer: Trainer, data: Dataset, options: TrainOptions): void {
  planCourse(trainer, data, resolveTrainOptions(options))
}

async function* runPhases(course: Course): AsyncGenerator<TrainEvent, void, undefined> {
  const { modules } = course.trainer
  for (const phase of course.phases.slice(course.phase)) {
    const { activeModule } = phase
    const isBegun = course.step > course.phase * course.stepsPerPhase || course.stage !== 'begin'
    if (activeModule !== null && !isBegun) {
      for (const module of modules) await module.releaseOptimizer()
    }
    yield* runPhase(course, phase)
    const finished = activeModule === null ? undefined : modules[activeModule]
    if (finished !== undefined) await endTurn(course, finished)
    course.phase++
  }
}

/**
 * Those behind a module learn from the features that they will be evaluated with: where an average is
 * kept, from those of its averaged weights. A run that goes on from here does this again.
 */
async function endTurn({ trainer, phase, phases }: Course, module: ModuleTrainer): Promise<void> {
  await module.releaseOptimizer()
  if (trainer.averageDecay === undefined || phase === phases.length - 1) return
  const prefixes = [...module.units, `auxiliary.${module.index}`].map((name) => `${name}.`)
  const own = Object.entries(await trainer.readAverage()).filter(([name]) =>
    prefixes.some((prefix) => name.startsWith(prefix)),
  )
  const [network, auxiliary] = partsOf(Object.fromEntries(own))
  await trainer.model.writeParameters(network)
  await trainer.writeAuxiliary(auxiliary)
}

async function* runPhase(
  course: Course,
  phase: Phase,
): AsyncGenerator<TrainEvent, void, undefined> {
  const end = (course.phase + 1) * course.stepsPerPhase
  while ((course.step < end && !isStopped(course)) || course.stage !== 'begin') {
    if (course.stage === 'begin') {
      Object.assign(course, { epoch: course.epoch + 1, stepInEpoch: 0, epochSums: [] })
      course.stage = 'steps'
    }
    if (course.stage === 'steps') {
      yield* runEpoch(course, phase, end)
      course.stage = 'evaluation'
    }
    const evaluation = await evaluateRun(course)
    if (evaluation) yield { type: 'evaluation', epoch: course.epoch, ...evaluation }
    course.stage = 'begin'
    yield await checkpointEvent(course, 'epoch', judgeEpoch(course, evaluation))
  }
}

/** The evaluation behind an epoch; null where none is due. */
async function evaluateRun(course: Course): Promise<Evaluation | null> {
  const { options: o, trainer, data } = course
  if (o.testLimit === 0 || (course.epoch % o.evaluateEvery !== 0 && !endsCourse(course)))
    return null
  course.evaluation = await evaluateHeads(trainer, data.test, {
    ...(o.testLimit === undefined ? {} : { limit: o.testLimit }),
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  })
  return course.evaluation
}

async function* runEpoch(
  course: Course,
  phase: Phase,
  end: number,
): AsyncGenerator<TrainEvent, void, undefined> {
  const { epoch, phases, options } = course
  const { activeModule } = phase
  const start = performance.now()
  let askedAt = start
  let isFirstStep = true
  for await (const input of oneAhead(preparations(course, end))) {
    using _ = input
    const waited = (performance.now() - askedAt) / 1000
    stopWhereTold(course)
    const event = await runStep(course, phase, end, input, waited)
    // What computes a step's products is known now, and the same for all ranks before anything is kept.
    if (isFirstStep && course.trainer.division !== undefined) await course.trainer.agreeOnProducts()
    isFirstStep = false
    course.epochSums = withStep(course.epochSums, event.modules)
    course.stepInEpoch++
    yield event
    const isDue =
      options.checkpointSteps !== undefined && course.step % options.checkpointSteps === 0
    if (isDue) yield await checkpointEvent(course, 'steps')
    // What is done with an event is not the run's time.
    askedAt = performance.now()
  }
  const seconds = (performance.now() - start) / 1000
  const epochs = phases.length * options.epochs
  course.epochSums = await sumsOfAll(course.trainer, course.epochSums)
  const modules = meansOf(course.epochSums)
  yield { type: 'epoch', epoch, epochs, activeModule, modules, seconds }
}

/** @throws the signal's reason: at once, of several ranks behind the same step. */
function stopWhereTold({ options, trainer, stop }: Course): void {
  if (trainer.division === undefined) options.signal?.throwIfAborted()
  else stop.check()
}

async function runStep(
  course: Course,
  phase: Phase,
  end: number,
  input: StepInput,
  waitSeconds: number,
) {
  const { stepsPerPhase, phases, options } = course
  const stepOfPhase = course.step - (end - stepsPerPhase)
  const rates = ratesAt(stepOfPhase, phase, course)
  const started = performance.now()
  const stepping = course.trainer.step(input.batch, {
    learningRate: rates,
    // The first step also fills caches.
    timeline: stepOfPhase === 1,
    ...(course.stop.isDue ? { stop: true } : {}),
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
  })
  // The step holds what it needs; with this reference gone it frees the bytes once they are floats.
  input.dispose()
  const { stops, ...result } = await stepping
  course.stop.learn(stops)
  if (course.trainer.division !== undefined) {
    course.residentBytes = memory.allocated(course.trainer.model.device)
  }
  const seconds = (performance.now() - started) / 1000
  const [images, took] = [options.batchSize, waitSeconds + seconds]
  course.step++
  course.pace = paceWith(course.pace, { images, seconds: took })
  course.peakAllocatedBytes = Math.max(course.peakAllocatedBytes, result.peakAllocatedBytes)
  return {
    type: 'step',
    epoch: course.epoch,
    activeModule: phase.activeModule,
    step: course.step,
    totalSteps: phases.length * stepsPerPhase,
    learningRate: Math.max(...rates.map((rate) => rate ?? 0)),
    ...result,
    ...{ seconds, waitSeconds, imagesPerSecond: images / took },
  } satisfies TrainEvent
}
