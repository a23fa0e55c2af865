// The cells of an accuracy table, each a run folder below one directory: what is finished is not run
// again, what was interrupted goes on, what fails is an outcome. Each is run in a fresh process, so that
// a crash costs one cell.
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../base/errors.js'
import { isThere, makeFolder, writeFileAtomically } from '../base/files.js'
import { SUMMARY_FILE } from '../base/run-files.js'
import type { TrainingConfigInput } from '../config/schema.js'
import type { Variant } from '../local/swin-transformer.js'
import { RunFolder } from '../run-folder/run-folder.js'
import type { RunEvent } from '../train/events.js'
import { type AccuracyPlan, type Cell, type CellOutcome, imageSizeOf } from './accuracy.js'
import type { CellRunner } from './cell-request.js'
import { runInChild } from './run-cell.js'

export interface CellsOptions {
  /** Folder of all run folders. */
  readonly directory: string
  readonly device: string
  readonly dataDir?: string | undefined
  /** Upper bound of the bytes that tensors of a cell may take; default: none. */
  readonly memoryLimitBytes?: number | undefined
  readonly signal?: AbortSignal
  /** A cell begins; `done` of them are finished. */
  readonly onCell?: (cell: Cell, state: CellState, done: number, total: number) => void
  /** What happens in a cell that is trained. */
  readonly onEvent?: (event: RunEvent) => void
  /** @internal For tests. */
  readonly runner?: CellRunner
}

/** `trained`: only the evaluation is missing; `begun`: it goes on from its checkpoint. */
export type CellState = 'new' | 'begun' | 'trained' | 'finished'

const SETTINGS = 'cell.json'
const EVALUATION = 'evaluation.json'

/** Folder of a cell's run. */
export function cellDirectory(directory: string, { dataset, run, seed }: Cell): string {
  return path.join(directory, dataset, run.replace(/[^a-z0-9]+/gi, '-'), `seed-${seed}`)
}

/**
 * How far a cell is.
 *
 * @throws {LocalformerError} `ERR_CONFIG` where its folder is of another plan.
 */
export async function cellState(
  plan: AccuracyPlan,
  cell: Cell,
  directory: string,
): Promise<CellState> {
  const folder = cellDirectory(directory, cell)
  const kept = await readJson(path.join(folder, SETTINGS))
  if (kept === undefined) return 'new'
  if (!isDeepStrictEqual(kept, settingsOf(plan, cell))) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `The folder ${folder} holds a run with another budget or other options`,
      { hint: 'Name another folder with --run-dir, or remove it.' },
    )
  }
  if ((await readJson(path.join(folder, EVALUATION))) !== undefined) return 'finished'
  if (await isThere(path.join(folder, SUMMARY_FILE))) return 'trained'
  return (await RunFolder.hasCheckpoint(folder)) ? 'begun' : 'new'
}

/**
 * Trains and evaluates every cell that is not finished, one after the other.
 *
 * @throws {LocalformerError} `ERR_CONFIG` as {@link cellState}, before anything is run; the signal's
 *   reason when it aborts.
 */
export async function runCells(plan: AccuracyPlan, options: CellsOptions): Promise<CellOutcome[]> {
  const { directory, signal, onCell } = options
  const states: CellState[] = []
  for (const cell of plan.cells) states.push(await cellState(plan, cell, directory))
  const outcomes: CellOutcome[] = []
  for (const [index, cell] of plan.cells.entries()) {
    signal?.throwIfAborted()
    const state = states[index] as CellState
    onCell?.(cell, state, index, plan.cells.length)
    outcomes.push(await runCell(plan, cell, state, options))
  }
  return outcomes
}

async function runCell(
  plan: AccuracyPlan,
  cell: Cell,
  state: CellState,
  options: CellsOptions,
): Promise<CellOutcome> {
  const directory = cellDirectory(options.directory, cell)
  const file = path.join(directory, EVALUATION)
  const fail = (code: string | null, message: string): CellOutcome => ({
    ...{ ...cell, directory, status: 'failed', accuracy: null, count: null },
    error: { code, message },
  })
  if (state !== 'finished') {
    await keepSettings(plan, cell, directory)
    const { signal, onEvent, runner = runInChild, memoryLimitBytes } = options
    const work = ({ new: 'train', begun: 'resume', trained: 'evaluate' } as const)[state]
    const request = { directory, work, config: configOfCell(plan, cell, options) }
    const { testLimit } = plan.settings
    const result = await runner({ ...request, testLimit, memoryLimitBytes }, { signal, onEvent })
    // Its own reason, not what the process made of it.
    signal?.throwIfAborted()
    if (result.status === 'failed') return fail(result.code, result.message)
    await writeFileAtomically(file, `${JSON.stringify(result.evaluation)}\n`)
  }
  const { accuracy, count } = ((await readJson(file)) ?? {}) as Partial<CellOutcome>
  if (typeof accuracy !== 'number' || typeof count !== 'number') {
    return fail('ERR_CHECKPOINT', `${file} holds no evaluation`)
  }
  return { ...cell, directory, status: 'ok', accuracy, count, error: null }
}

async function keepSettings(plan: AccuracyPlan, cell: Cell, directory: string): Promise<void> {
  try {
    await makeFolder(directory)
    const text = `${JSON.stringify(settingsOf(plan, cell), null, 2)}\n`
    await writeFileAtomically(path.join(directory, SETTINGS), text)
  } catch (cause) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `The folder ${directory} cannot be written: ${(cause as Error).message}`,
      { hint: 'Name another one with --run-dir.', cause },
    )
  }
}

/** What a folder has to have in common with a plan to be its cell. */
function settingsOf({ settings }: AccuracyPlan, cell: Cell) {
  return { schema: 1, ...cell, settings: { ...settings } }
}

/** What a cell trains; the test images are looked at once, at the end. */
export function configOfCell(
  { settings }: AccuracyPlan,
  { dataset, run, seed }: Cell,
  { device, dataDir }: Pick<CellsOptions, 'device' | 'dataDir'>,
): TrainingConfigInput {
  const { epochs, batchSize, learningRate, warmup, cropPadding, trainLimit } = settings
  return {
    ...{ run, seed, device },
    dataset: {
      name: dataset as NonNullable<TrainingConfigInput['dataset']>['name'],
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(trainLimit === null ? {} : { trainLimit }),
      testLimit: 0,
    },
    model: {
      variant: settings.variant as Variant,
      imageSize: imageSizeOf(dataset, settings),
      dropPath: settings.dropPath,
    },
    optimizer: { weightDecay: settings.weightDecay, labelSmoothing: settings.labelSmoothing },
    training: { epochs, batchSize, learningRate, warmup, cropPadding },
  }
}

/** Undefined where there is no such file, or no JSON in it. */
async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch {
    return undefined
  }
}
