// `localformer train`: makes or goes on with a run and prints its events.

import path from 'node:path'
import type { Argv } from 'yargs'
import { LocalformerError } from '../../base/errors.js'
import type { TrainingConfig } from '../../config/schema.js'
import type { Dataset } from '../../datasets/dataset.js'
import { checkComputes } from '../../device/device.js'
import * as memory from '../../device/memory.js'
import { recordingMemory } from '../../device/snapshot-recording.js'
import { checkFree } from '../../run-folder/run-folder.js'
import { createRun } from '../../runs/create-run.js'
import { resumeRun } from '../../runs/resume-run.js'
import type { Run } from '../../runs/run.js'
import { type RunSummary, readRunSummary } from '../../runs/run-summary.js'
import type { WeightsReport } from '../../weights/plan.js'
import { AUTO, sized, trainingOptions, withoutAuto } from '../auto-batch.js'
import {
  type Command,
  type GlobalOptions,
  isTeller,
  note,
  printJson,
  printLine,
} from '../command.js'
import { type ConfigArguments, configOf } from '../config-flags.js'
import { dataModuleOption, openDataOf } from '../data-options.js'
import { untilInterrupted } from '../interrupt.js'
import { type MemoryLimitArguments, memoryLimitOf, memoryLimitOption } from '../memory-limit.js'
import {
  checkMemorySnapshot,
  type MemorySnapshotArguments,
  memorySnapshotOption,
  tellSnapshot,
} from '../memory-snapshot.js'
import { amongRanks, parallelOf, type RankArguments, rankOptions } from '../ranks.js'
import { resumed } from '../resume.js'
import { createTrainingProgress } from '../training-progress.js'
import { tellEvent } from '../training-text.js'

interface TrainArguments
  extends ConfigArguments,
    MemoryLimitArguments,
    MemorySnapshotArguments,
    RankArguments {
  runDir: string | undefined
  resume: string | undefined
  overwrite: boolean | undefined
  dataModule: string | undefined
  effectiveBatch: number | undefined
}

export const trainCommand: Command<TrainArguments> = {
  command: 'train',
  describe: 'Train a network by local learning or end to end',
  builder: (yargs) =>
    yargs
      .options(trainingOptions())
      .options(dataModuleOption)
      .options(memoryLimitOption)
      .options(memorySnapshotOption)
      .options(rankOptions)
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
          describe:
            'Folder of a run to go on with, by the configuration that it began with; with more --epochs a ' +
            'finished one is trained further',
          group: 'Run:',
        },
        overwrite: {
          type: 'boolean',
          describe: 'Remove the run that is in the folder',
          group: 'Run:',
        },
        'effective-batch': {
          type: 'number',
          requiresArg: true,
          describe: 'Images of an update, with --batch-size auto: in 1, 2, 4 or more micro-batches',
          group: 'Training:',
        },
      })
      .example('$0 train --method paper --modules 4 --epochs 10', 'ten epochs of CIFAR-10 at 32 px')
      .example('$0 train --preset trial --run greedy:4', 'a recipe, and another run spec')
      .example('$0 train --config runs/first/config.json --seed 1', 'again, with another seed')
      .example('$0 train --resume runs/first --epochs 20', 'further than it was trained')
      .example(
        '$0 train --dataset synthetic --variant micro',
        'in seconds, without a download',
      ) as unknown as Argv<GlobalOptions & TrainArguments>,
  handler: async (options) => {
    checkComputes(options.device, 'train')
    memoryLimitOf(options)
    if (options.effectiveBatch !== undefined && options.batchSize !== AUTO) {
      throw new LocalformerError('ERR_USAGE', '`--effective-batch` goes with `--batch-size auto`', {
        hint: 'Without it --batch-size is the effective batch, and --accumulate cuts it into micro-batches.',
      })
    }
    await amongRanks(options, () => trainOn(options))
  },
}

async function trainOn(options: GlobalOptions & TrainArguments): Promise<void> {
  const parallel = parallelOf(options)
  if (parallel !== undefined) checkShareable(options)
  await checkMemorySnapshot(options)
  if (options.resume !== undefined) return resumeTraining(options, path.resolve(options.resume))
  const written = await configOf(withoutAuto(options))
  const { runDir, overwrite = false } = options
  // Before images are read, which may take long.
  if (runDir !== undefined && !overwrite && isTeller()) await checkFree(path.resolve(runDir))
  const data = await openImages(options, written.config)
  await follow(options, written.config, async (signal) =>
    createRun(await sized(options, written, data, signal), {
      ...{ data, overwrite, signal },
      ...(runDir === undefined ? {} : { directory: runDir }),
      ...(parallel === undefined ? {} : { parallel }),
    }),
  )
}

/** What one process does that several cannot do at once. */
function checkShareable({ batchSize, memorySnapshot }: TrainArguments): void {
  const refuse = (flag: string) => {
    throw new LocalformerError('ERR_USAGE', `\`${flag}\` is for one process, and these are several`)
  }
  if (batchSize === AUTO) refuse('--batch-size auto')
  if (memorySnapshot !== undefined) refuse('--memory-snapshot')
}

async function resumeTraining(options: GlobalOptions & TrainArguments, directory: string) {
  if (options.batchSize === AUTO) {
    throw new LocalformerError('ERR_USAGE', '`--batch-size auto` is for a run that begins', {
      hint: 'A run goes on with the batch size that it has.',
    })
  }
  const { config, changes, isLonger } = await resumed(withoutAuto(options), directory)
  const summary = await readRunSummary(directory)
  if (summary !== null && !isLonger) {
    return isTeller() ? tellOver(options, directory, summary) : undefined
  }
  const data = await openImages(options, config)
  const parallel = parallelOf(options)
  await follow(options, config, (signal) =>
    resumeRun(directory, { ...changes, data, signal, ...(parallel && { parallel }) }),
  )
}

function openImages(
  options: GlobalOptions & TrainArguments,
  { dataset, model }: TrainingConfig,
): Promise<Dataset> {
  const { name, dataDir } = dataset
  return openDataOf({ ...options, dataset: name, dataDir, imageSize: model.imageSize })
}

/** Prints the events of a run and what it came to. */
async function follow(
  options: GlobalOptions & TrainArguments,
  { device }: TrainingConfig,
  make: (signal: AbortSignal) => Promise<Run>,
): Promise<void> {
  const { memoryLimitBytes } = memoryLimitOf(options)
  if (memoryLimitBytes !== undefined) memory.setLimit(memoryLimitBytes, device)
  const { memorySnapshot } = options
  let directory = ''
  await untilInterrupted(
    (signal) =>
      recordingMemory(memorySnapshot, device, async (write) => {
        await using run = await make(signal)
        directory = run.directory
        if (isTeller()) tellBeginning(options, run)
        const progress = createTrainingProgress({ quiet: options.quiet })
        try {
          for await (const event of run.events()) {
            if (isTeller()) tellEvent(options, event, progress)
          }
        } finally {
          progress.finish()
          // While the network is alive, however training ended; what fails here is told at the end.
          const written = await write().catch(() => undefined)
          if (written) tellSnapshot(options, memorySnapshot ?? '', written.isComplete)
        }
        const summary = await run.finish()
        if (!isTeller()) return
        if (options.json) printJson(summary)
        else printLine(`Run folder ${directory}`)
      }),
    () =>
      directory === ''
        ? 'interrupted'
        : `interrupted between two steps; to go on: npx localformer train --resume ${directory}`,
  )
}

function tellBeginning(options: GlobalOptions & TrainArguments, run: Run): void {
  if (run.weights !== null) note(options, initText(run.weights, run.config.init ?? ''))
  note(options, `Device ${run.model.device}: ${run.model.deviceReason}`)
  if (options.resume === undefined) return
  const from = run.startedFrom
  const place = from === null ? 'the beginning' : `step ${from.step}, epoch ${from.epoch}`
  note(options, `Going on with ${run.directory} from ${place}`)
}

/** Nothing is left to do, which whoever begins a job again need not know. */
function tellOver(options: GlobalOptions, directory: string, summary: RunSummary): void {
  note(
    options,
    `The run of ${directory} is over. To train it further: npx localformer train --resume ${directory} ` +
      '--epochs N, with more epochs than it had',
  )
  if (options.json) printJson(summary)
  else printLine(`Run folder ${directory}`)
}

/** What loading another's weights did. */
function initText({ format, loaded, resized, classifier }: WeightsReport, file: string): string {
  const tables = resized.length === 0 ? '' : `, bias tables resized: ${resized.length}`
  const head = classifier === 'loaded' ? 'its classifier too' : 'a new classifier'
  return `Weights of ${file} (names of ${format}): ${loaded.length} tensors, ${head}${tables}`
}
