// `localformer train`: trains one run spec on a data set and keeps a run folder.
import path from 'node:path'
import type { Argv, Options } from 'yargs'
import type { Dataset } from '../../datasets/dataset.js'
import { expected, LocalformerError } from '../../errors.js'
import { formatBytes, formatPercent } from '../../format.js'
import { parseRunSpec, pinSplit, type RunSpec } from '../../methods.js'
import { checkFree, RunFolder } from '../../runs/run-folder.js'
import { differencesOf, surroundingsOf } from '../../runs/surroundings.js'
import { meansOf } from '../../runs/training-state.js'
import { SwinTransformer } from '../../swin-transformer.js'
import {
  resolveTrainOptions,
  SCHEDULES,
  type TrainEvent,
  type TrainOptions,
  train,
} from '../../train.js'
import { createTrainer } from '../../trainer-of-spec.js'
import type { Trainer } from '../../trainers.js'
import { loadWeights } from '../../weights/load-weights.js'
import { type Command, type GlobalOptions, note, printJson, printLine } from '../command.js'
import { type DataArguments, dataOptions, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { type ModelArguments, modelOptions, swinOptionsOf } from '../model-options.js'
import { commandProgress, type Progress } from '../progress.js'
import { recordedArguments, resumedArguments } from '../resume.js'
import { RUN_SPEC_HELP } from '../run-option.js'

interface TrainArguments extends ModelArguments, DataArguments {
  run: string
  runDir: string | undefined
  resume: string | undefined
  overwrite: boolean | undefined
  checkpointEvery: number | undefined
  checkpointSteps: number | undefined
  init: string | undefined
  schedule: (typeof SCHEDULES)[number]
  epochs: number
  maxSteps: number | undefined
  batchSize: number
  learningRate: number
  warmup: number
  weightDecay: number
  labelSmoothing: number
  dropPath: number
  cropPadding: number
  flip: boolean
  trainLimit: number | undefined
  testLimit: number | undefined
}

const group = 'Training:'

const number = (describe: string, value?: number): Options => ({
  type: 'number',
  requiresArg: true,
  describe,
  group,
  ...(value === undefined ? {} : { default: value }),
})

export const trainCommand: Command<TrainArguments> = {
  command: 'train',
  describe: 'Train a network by local learning or end to end',
  builder: (yargs) =>
    yargs
      .options(dataOptions)
      .options({ ...modelOptions, 'image-size': { ...modelOptions['image-size'], default: 32 } })
      .options({
        run: {
          type: 'string',
          default: 'paper:4',
          requiresArg: true,
          describe: RUN_SPEC_HELP,
          group,
        },
        'run-dir': {
          type: 'string',
          requiresArg: true,
          describe: 'Folder of the run; default: runs/<spec>-<time>',
          group,
        },
        resume: {
          type: 'string',
          requiresArg: true,
          conflicts: ['run-dir', 'overwrite'],
          describe: 'Folder of a run to go on with, by the options that it began with',
          group,
        },
        overwrite: {
          type: 'boolean',
          describe: 'Remove the run that is in the folder',
          group,
        },
        'checkpoint-every': number('Epochs after which a checkpoint stays for good'),
        'checkpoint-steps': number('Steps after which to save within an epoch'),
        init: {
          type: 'string',
          requiresArg: true,
          describe: 'Weights to begin with, a safetensors file',
          group,
        },
        schedule: {
          choices: SCHEDULES,
          default: 'together',
          requiresArg: true,
          describe: 'All modules in a step, or one after the other',
          group,
        },
        epochs: number('Passes over the images', 1),
        'max-steps': number('Steps after which to stop'),
        'batch-size': number('Images in a batch', 128),
        'learning-rate': number('Highest one, AdamW', 1e-3),
        warmup: number('Share of steps it rises in', 0.05),
        'weight-decay': number('Of AdamW', 0.05),
        'label-smoothing': number('Of the labels', 0.1),
        'drop-path': number('Stochastic depth', 0.1),
        'crop-padding': number('Pixels; 0: no crop', 4),
        flip: { type: 'boolean', default: true, describe: 'Mirror half of the images', group },
        'train-limit': number('Only so many training images'),
        'test-limit': number('Only so many test images; 0: none'),
      })
      .example('$0 train --run paper:4 --epochs 10', 'ten epochs of CIFAR-10 at 32 px')
      .example(
        '$0 train --dataset synthetic --variant micro',
        'in seconds, without a download',
      ) as unknown as Argv<GlobalOptions & TrainArguments>,
  handler: async (given) => {
    const isResumed = given.resume !== undefined
    const options = isResumed
      ? await resumedArguments(given, path.resolve(given.resume as string), process.argv.slice(2))
      : given
    const spec = parseRunSpec(options.run)
    const loop = loopOptionsOf(options)
    resolveTrainOptions(loop)
    checkEvery(options.checkpointEvery)
    const directory = path.resolve(options.runDir ?? defaultFolder(spec))
    if (!isResumed && !options.overwrite) await checkFree(directory)
    const data = await openDataOf(options)
    await untilInterrupted(
      (signal) => runTraining({ ...options, runDir: directory }, spec, data, { ...loop, signal }),
      () => `interrupted between two steps; to go on: localformer train --resume ${directory}`,
    )
  },
}

function checkEvery(every: number | undefined): void {
  if (every === undefined || (Number.isInteger(every) && every >= 1)) return
  const message = expected('a whole number of at least 1', 'checkpointEvery', every)
  throw new LocalformerError('ERR_CONFIG', message)
}

function loopOptionsOf(options: TrainArguments): TrainOptions {
  const { schedule, epochs, batchSize, learningRate, warmup, seed, cropPadding, flip } = options
  return {
    ...{ schedule, epochs, batchSize, learningRate, warmup, seed, cropPadding, flip },
    ...(options.maxSteps === undefined ? {} : { maxSteps: options.maxSteps }),
    ...(options.checkpointSteps === undefined ? {} : { checkpointSteps: options.checkpointSteps }),
    ...(options.trainLimit === undefined ? {} : { trainLimit: options.trainLimit }),
    ...(options.testLimit === undefined ? {} : { testLimit: options.testLimit }),
  }
}

async function runTraining(
  options: GlobalOptions & TrainArguments & { readonly runDir: string },
  spec: RunSpec,
  data: Dataset,
  loop: TrainOptions,
): Promise<void> {
  const { dropPath, weightDecay, labelSmoothing, seed } = options
  const network = { ...swinOptionsOf({ ...options, classes: data.classes.length }), dropPath }
  await using model = await SwinTransformer.create(network)
  const isResumed = options.resume !== undefined
  if (!isResumed) await initialise(model, options)
  await using trainer = await createTrainer(
    model,
    spec,
    { weightDecay, labelSmoothing, seed },
    options.batchSize,
  )
  note(options, `Device ${model.device}: ${model.deviceReason}`)
  const folder = await openFolder(options, loop, { trainer, spec, data })
  const { directory, state, weights } = folder
  // Its checkpoint has the weights that it began with in it.
  if (isResumed && state === undefined) await initialise(model, options)
  const progress = commandProgress(options)
  try {
    const events = train(trainer, data, { ...loop, state })
    const summary = await follow(events, folder, progress, options)
    const document = { schema: 1, run: spec.text, directory, weights, ...summary }
    await folder.writeSummary(document)
    if (options.json) printJson(document)
    else printLine(`Run folder ${directory}`)
  } finally {
    progress.finish()
    folder.close()
  }
}

/** The folder of a new run, or of the one to go on with; says from where it goes on. */
async function openFolder(
  options: GlobalOptions & TrainArguments & { readonly runDir: string },
  loop: TrainOptions,
  subject: { readonly trainer: Trainer; readonly spec: RunSpec; readonly data: Dataset },
): Promise<RunFolder> {
  const { trainer, spec, data } = subject
  const { weightDecay, labelSmoothing, runDir } = options
  const init = options.init === undefined ? {} : { init: path.resolve(options.init) }
  const dataDir = options.dataDir === undefined ? {} : { dataDir: path.resolve(options.dataDir) }
  const { signal: _, ...training } = loop
  if (options.resume === undefined) {
    const config = {
      ...{ schema: 1, run: spec.text, dataset: data.name, model: trainer.model.config },
      ...{ optimizer: { weightDecay, labelSmoothing }, training },
      ...init,
      // What --resume reads; a split that was measured is not measured again.
      arguments: recordedArguments({
        ...{ ...options, ...init, ...dataDir, run: pinSplit(spec, trainer.cuts) },
      }),
    }
    return RunFolder.create(runDir, config, subject)
  }
  const folder = await RunFolder.resume(runDir, subject)
  const { state } = folder
  if (state?.damage) note(options, `${state.damage.message}; the checkpoint before it is used`)
  const before = state?.surroundings
  const differing = before ? differencesOf(surroundingsOf(trainer), before) : []
  if (differing.length > 0) {
    note(options, `The results may differ in their last digits: ${differing.join(', ')}`)
  }
  const place = state
    ? `step ${state.progress.step}, epoch ${state.progress.epoch}`
    : 'the beginning'
  note(options, `Going on with ${runDir} from ${place}`)
  return folder
}

/** Loads the weights to begin with, where there are some; says what that did. */
async function initialise(
  model: SwinTransformer,
  options: GlobalOptions & TrainArguments,
): Promise<void> {
  const file = options.init
  if (file === undefined) return
  const { format, loaded, resized, classifier } = await loadWeights(model, file)
  const tables = resized.length === 0 ? '' : `, bias tables resized: ${resized.length}`
  const head = classifier === 'loaded' ? 'its classifier too' : 'a new classifier'
  const what = `${loaded.length} tensors, ${head}${tables}`
  note(options, `Weights of ${file} (names of ${format}): ${what}`)
}

/** Prints and records every event, keeps every checkpoint; gives what the run came to. */
async function follow(
  events: AsyncIterable<TrainEvent>,
  folder: RunFolder,
  progress: Progress,
  options: GlobalOptions & TrainArguments,
): Promise<object> {
  let lastEpoch: (TrainEvent & { type: 'epoch' }) | undefined
  // Of a run that was interrupted after its last epoch.
  const before = meansOf(folder.state?.progress.epochSums)
  for await (const event of events) {
    folder.event(event)
    if (event.type === 'step') {
      progress.update({
        label: labelOf(event),
        done: event.step,
        total: event.totalSteps,
        unit: 'steps',
        detail: stepText(event),
      })
      continue
    }
    if (event.type === 'checkpoint') {
      await folder.saveCheckpoint(event, options.checkpointEvery)
      continue
    }
    progress.finish()
    if (event.type === 'epoch') {
      lastEpoch = event
      say(options, epochLine(event))
    } else if (event.type === 'evaluation') {
      const heads = event.modules.map(({ accuracy }) => formatPercent(accuracy)).join(', ')
      say(
        options,
        `Test accuracy ${formatPercent(event.accuracy)} (heads: ${heads}), loss ${event.loss.toFixed(3)}`,
      )
    } else {
      const { steps, seconds, peakAllocatedBytes, evaluation } = event
      say(
        options,
        `${steps} steps in ${seconds.toFixed(0)} s, peak ${formatBytes(peakAllocatedBytes)}`,
      )
      return {
        steps,
        seconds,
        peakAllocatedBytes,
        evaluation,
        modules: lastEpoch?.modules ?? before,
      }
    }
  }
  return {}
}

function say(options: GlobalOptions, line: string): void {
  if (options.json) note(options, line)
  else printLine(line)
}

function labelOf({ epoch, activeModule }: TrainEvent & { type: 'step' }): string {
  return activeModule === null ? `Epoch ${epoch}` : `Epoch ${epoch}, module ${activeModule + 1}`
}

function stepText(event: TrainEvent & { type: 'step' }): string {
  const losses = trainedOf(event).map(([, module]) => lossText(module))
  const speed = event.imagesPerSecond.toFixed(0)
  return `loss ${losses.join(' ')}  ${speed} images/s  ${formatBytes(event.peakAllocatedBytes)}`
}

function epochLine(event: TrainEvent & { type: 'epoch' }): string {
  const losses = trainedOf(event)
    .map(([k, module]) => `module ${k + 1} ${lossText(module)} (${formatPercent(module.accuracy)})`)
    .join(', ')
  return `Epoch ${event.epoch} of ${event.epochs}: train loss ${losses}, ${event.seconds.toFixed(0)} s`
}

/** The modules that an event is about, with their index. */
function trainedOf<T>({
  activeModule,
  modules,
}: {
  readonly activeModule: number | null
  readonly modules: readonly T[]
}): [number, T][] {
  return [...modules.entries()].filter(([k]) => activeModule === null || k === activeModule)
}

function lossText({
  labelLoss,
  reconstructionLoss,
}: {
  labelLoss: number
  reconstructionLoss: number
}) {
  return reconstructionLoss === 0
    ? labelLoss.toFixed(3)
    : `${labelLoss.toFixed(3)}+${reconstructionLoss.toFixed(3)}`
}

function defaultFolder(spec: RunSpec): string {
  const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')
  return path.join('runs', `${spec.text.replace(/[^a-z0-9]+/gi, '-')}-${time}`)
}
