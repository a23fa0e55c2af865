// `localformer train`: trains one run spec on a data set and keeps a run folder.

import { rmdir } from 'node:fs/promises'
import path from 'node:path'
import type { Argv } from 'yargs'
import { formatBytes, formatPercent } from '../../base/format.js'
import { createTraining, type Training } from '../../config/create.js'
import type { TrainingConfig } from '../../config/schema.js'
import type { Dataset } from '../../datasets/dataset.js'
import { pinSplit } from '../../local/methods.js'
import { ReportKeeper } from '../../report/keep-report.js'
import { checkFree, RunFolder, readSummary } from '../../run-folder/run-folder.js'
import { differencesOf, surroundingsOf } from '../../run-folder/surroundings.js'
import type { TrainEvent } from '../../train/events.js'
import { checkTraining, train } from '../../train/train.js'
import { meansOf } from '../../train/training-state.js'
import type { WeightsReport } from '../../weights/plan.js'
import { type Command, type GlobalOptions, note, printJson, printLine, warn } from '../command.js'
import { type ConfigArguments, configOf, configOptions } from '../config-flags.js'
import { openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { resumedConfig } from '../resume.js'
import { createTrainingProgress, type TrainingProgress } from '../training-progress.js'

interface TrainArguments extends ConfigArguments {
  runDir: string | undefined
  resume: string | undefined
  overwrite: boolean | undefined
}

export const trainCommand: Command<TrainArguments> = {
  command: 'train',
  describe: 'Train a network by local learning or end to end',
  builder: (yargs) =>
    yargs
      .options(configOptions())
      .options({
        'run-dir': {
          type: 'string',
          requiresArg: true,
          describe: 'Folder of the run; default: runs/<spec>-<time>',
          group: 'Run:',
        },
        resume: {
          type: 'string',
          requiresArg: true,
          conflicts: ['run-dir', 'overwrite', 'config', 'preset'],
          describe: 'Folder of a run to go on with, by the configuration that it began with',
          group: 'Run:',
        },
        overwrite: {
          type: 'boolean',
          describe: 'Remove the run that is in the folder',
          group: 'Run:',
        },
      })
      .example('$0 train --method paper --modules 4 --epochs 10', 'ten epochs of CIFAR-10 at 32 px')
      .example('$0 train --preset trial --run greedy:4', 'a recipe, and another run spec')
      .example('$0 train --config runs/first/config.json --seed 1', 'again, with another seed')
      .example(
        '$0 train --dataset synthetic --variant micro',
        'in seconds, without a download',
      ) as unknown as Argv<GlobalOptions & TrainArguments>,
  handler: async (options) => {
    const { resume, runDir, overwrite } = options
    const config =
      resume === undefined
        ? await configOf(options)
        : await resumedConfig(options, path.resolve(resume))
    if (resume !== undefined) {
      const summary = await readSummary(path.resolve(resume))
      if (summary !== undefined) return tellOver(options, path.resolve(resume), summary)
    }
    const given = resume ?? runDir
    if (runDir !== undefined && !overwrite) await checkFree(path.resolve(runDir))
    const { name, dataDir } = config.dataset
    const { imageSize } = config.model
    const data = await openDataOf({ ...options, dataset: name, dataDir, imageSize })
    const directory = given === undefined ? await newFolder(config) : path.resolve(given)
    try {
      await untilInterrupted(
        (signal) => runTraining(options, directory, config, data, signal),
        () =>
          `interrupted between two steps; to go on: npx localformer train --resume ${directory}`,
      )
    } finally {
      // One of a run that did not begin is empty; no other can be removed like this.
      if (given === undefined) await rmdir(directory).catch(() => undefined)
    }
  },
}

async function runTraining(
  options: GlobalOptions & TrainArguments,
  directory: string,
  config: TrainingConfig,
  data: Dataset,
  signal: AbortSignal,
): Promise<void> {
  // A checkpoint has the weights that the run began with in it.
  const isKept = options.resume !== undefined && (await RunFolder.hasCheckpoint(directory))
  const { init, ...rest } = config
  await using training = await createTraining(isKept ? rest : config, data)
  const { model, trainer, spec, weights: loaded } = training
  if (loaded !== null) note(options, initText(loaded, init ?? ''))
  note(options, `Device ${model.device}: ${model.deviceReason}`)
  // Before anything of an earlier run in the folder is removed.
  checkTraining(trainer, data, training.options)
  const folder = await openFolder(options, directory, training)
  const { state, weights } = folder
  const progress = createTrainingProgress({ quiet: options.quiet })
  const report = new ReportKeeper(directory, trainer, data, (problem) => note(options, problem))
  try {
    const events = train(trainer, data, { ...training.options, state, signal })
    const { checkpointEvery } = config
    const summary = await follow(events, folder, progress, report, options, checkpointEvery)
    const document = { schema: 1, run: spec.text, directory, weights, ...summary }
    await report.ended()
    // Last, for it says that the run is over.
    await folder.writeSummary(document)
    if (options.json) printJson(document)
    else printLine(`Run folder ${directory}`)
  } finally {
    progress.finish()
    folder.close()
  }
}

/** Nothing is left to do, which whoever begins a job again need not know. */
function tellOver(options: GlobalOptions, directory: string, summary: object): void {
  note(
    options,
    `The run of ${directory} is over. A longer one is a new run, which can begin with its weights: ` +
      `--init ${path.join(directory, 'weights.safetensors')}`,
  )
  if (options.json) printJson(summary)
  else printLine(`Run folder ${directory}`)
}

/** The folder of a new run, or of the one to go on with; says from where it goes on. */
async function openFolder(
  options: GlobalOptions & TrainArguments,
  directory: string,
  training: Training,
): Promise<RunFolder> {
  const { trainer } = training
  if (options.resume === undefined) {
    return RunFolder.create(
      directory,
      recordedConfig(training),
      training,
      options.overwrite === true,
    )
  }
  const folder = await RunFolder.resume(directory, training)
  const { state } = folder
  if (state?.damage) warn(`${state.damage.message}; the checkpoint before it is used`)
  const before = state?.surroundings
  const differing = before ? differencesOf(surroundingsOf(trainer), before) : []
  if (differing.length > 0) {
    warn(`The results may differ in their last digits: ${differing.join(', ')}`)
  }
  const place = state
    ? `step ${state.progress.step}, epoch ${state.progress.epoch}`
    : 'the beginning'
  note(options, `Going on with ${directory} from ${place}`)
  return folder
}

/**
 * The configuration as a run folder keeps it: it holds in any working directory, and a split that was
 * measured is not measured again.
 */
function recordedConfig({ config, spec, trainer }: Training): TrainingConfig {
  const { init, dataset, ...rest } = config
  const { dataDir } = dataset
  return {
    ...rest,
    run: pinSplit(spec, trainer.cuts),
    dataset: dataDir === undefined ? dataset : { ...dataset, dataDir: path.resolve(dataDir) },
    ...(init === undefined ? {} : { init: path.resolve(init) }),
  }
}

/** What loading another's weights did. */
function initText({ format, loaded, resized, classifier }: WeightsReport, file: string): string {
  const tables = resized.length === 0 ? '' : `, bias tables resized: ${resized.length}`
  const head = classifier === 'loaded' ? 'its classifier too' : 'a new classifier'
  return `Weights of ${file} (names of ${format}): ${loaded.length} tensors, ${head}${tables}`
}

/** Prints and records every event, keeps every checkpoint; gives what the run came to. */
async function follow(
  events: AsyncIterable<TrainEvent>,
  folder: RunFolder,
  progress: TrainingProgress,
  report: ReportKeeper,
  options: GlobalOptions,
  checkpointEvery: number | undefined,
): Promise<object> {
  let lastEpoch: (TrainEvent & { type: 'epoch' }) | undefined
  // Of a run that was interrupted after its last epoch.
  const before = meansOf(folder.state?.progress.epochSums)
  for await (const event of events) {
    folder.event(event)
    if (event.type === 'step') {
      progress.step(event)
      continue
    }
    if (event.type === 'checkpoint') {
      await folder.saveCheckpoint(event, checkpointEvery)
      if (event.reason === 'epoch') await report.epochEnded(event.epoch)
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
      const { steps, seconds, imagesPerSecond, peakAllocatedBytes, evaluation } = event
      say(options, doneLine(event))
      return {
        ...{ steps, seconds, imagesPerSecond, peakAllocatedBytes },
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

function epochLine(event: TrainEvent & { type: 'epoch' }): string {
  const losses = trainedOf(event)
    .map(([k, module]) => `module ${k + 1} ${lossText(module)} (${formatPercent(module.accuracy)})`)
    .join(', ')
  return `Epoch ${event.epoch} of ${event.epochs}: train loss ${losses}, ${event.seconds.toFixed(0)} s`
}

function doneLine(event: TrainEvent & { type: 'done' }): string {
  const { steps, seconds, imagesPerSecond: speed, peakAllocatedBytes } = event
  const throughput = speed === null ? '' : `, median ${speed.toFixed(0)} images/s`
  return `${steps} ${steps === 1 ? 'step' : 'steps'} in ${seconds.toFixed(0)} s${throughput}, peak ${formatBytes(peakAllocatedBytes)}`
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

/** A folder that no other run has, even one that begins in the same second. */
async function newFolder({ run }: TrainingConfig): Promise<string> {
  const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')
  const name = path.resolve('runs', `${run.replace(/[^a-z0-9]+/gi, '-')}-${time}`)
  for (let count = 1; ; count++) {
    const directory = count === 1 ? name : `${name}-${count}`
    if (await RunFolder.claim(directory)) return directory
  }
}
