// The cells of an accuracy table, each a run folder below one directory: what is finished is not run
// again, what was interrupted goes on, what fails is an outcome. `localformer` itself does the work
// in fresh processes, so that a crash costs one cell.
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../base/errors.js'
import { isThere, makeFolder, writeFileAtomically } from '../base/files.js'
import { RunFolder } from '../run-folder/run-folder.js'
import { type AccuracyPlan, type Cell, type CellOutcome, imageSizeOf } from './accuracy.js'

/** How a command of `localformer` ended: its JSON document, or its error. */
export type CommandResult =
  | { readonly status: 'ok'; readonly document: Readonly<Record<string, unknown>> }
  | { readonly status: 'failed'; readonly code: string | null; readonly message: string }

export interface CellsOptions {
  /** Folder of all run folders. */
  readonly directory: string
  readonly device: string
  readonly dataDir?: string | undefined
  /** Runs `localformer` with these arguments and `--json`; rejects with the signal's reason. */
  readonly command: (args: readonly string[]) => Promise<CommandResult>
  readonly signal?: AbortSignal
  /** A cell begins; `done` of them are finished. */
  readonly onCell?: (cell: Cell, state: CellState, done: number, total: number) => void
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
  if (await isThere(path.join(folder, 'summary.json'))) return 'trained'
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
  const common = ['--device', options.device, ...given('--data-dir', options.dataDir)]
  if (state === 'new' || state === 'begun') {
    await keepSettings(plan, cell, directory)
    const trained = await options.command(
      state === 'begun'
        ? ['train', '--resume', directory, '--device', options.device]
        : [...trainArguments(plan, cell, directory), ...common],
    )
    if (trained.status === 'failed') return fail(trained.code, trained.message)
  }
  if (state !== 'finished') {
    const limit = given('--limit', plan.settings.testLimit)
    const evaluated = await options.command(['evaluate', directory, ...limit, ...common])
    if (evaluated.status === 'failed') return fail(evaluated.code, evaluated.message)
    await writeFileAtomically(file, `${JSON.stringify(evaluated.document)}\n`)
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

/** The command line that trains a cell; the test images are looked at once, at the end. */
export function trainArguments(plan: AccuracyPlan, cell: Cell, directory: string): string[] {
  const { settings } = plan
  const options = {
    dataset: cell.dataset,
    run: cell.run,
    'run-dir': directory,
    seed: cell.seed,
    variant: settings.variant,
    'image-size': imageSizeOf(cell.dataset, settings),
    epochs: settings.epochs,
    'batch-size': settings.batchSize,
    'learning-rate': settings.learningRate,
    warmup: settings.warmup,
    'weight-decay': settings.weightDecay,
    'label-smoothing': settings.labelSmoothing,
    'drop-path': settings.dropPath,
    'crop-padding': settings.cropPadding,
    'train-limit': settings.trainLimit,
    'test-limit': 0,
  }
  return ['train', ...Object.entries(options).flatMap(([name, value]) => given(`--${name}`, value))]
}

function given(option: string, value: string | number | null | undefined): string[] {
  return value === null || value === undefined ? [] : [option, `${value}`]
}

/** Undefined where there is no such file, or no JSON in it. */
async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch {
    return undefined
  }
}
