// A trained run on images: checked to be the classes that it knows, with the pixels as it was trained.
import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, readArgument } from '../base/validate.js'
import { checkDataset, type Dataset } from '../datasets/dataset.js'
import { type DetailedEvaluation, type EvaluateOptions, evaluate } from '../evaluate/evaluate.js'
import { Trainer } from '../local/trainer.js'
import { isHandle } from '../native/handle.js'
import type { LoadedRun } from '../run-folder/load-run.js'

export interface EvaluateRunOptions extends EvaluateOptions {
  /** Which images; default `test`. */
  readonly split?: 'train' | 'test'
}

/** An evaluation with what was evaluated, as `localformer evaluate --json` prints it. */
export interface RunEvaluation extends DetailedEvaluation {
  readonly schema: 1
  /** Run spec. */
  readonly run: string
  readonly dataset: string
  readonly split: 'train' | 'test'
}

/**
 * Evaluates a run (what `loadRun` gave) on a data set, the one that it was trained on or another with the
 * same classes.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for other classes, and what `evaluate` throws.
 */
export async function evaluateRun(
  run: LoadedRun,
  data: Dataset,
  options: EvaluateRunOptions = {},
): Promise<RunEvaluation> {
  const { split, ...rest } = readArgument('options', () => checkOptions(options))
  checkRun(run)
  checkDataset(data)
  checkClasses(run, data)
  const { mean, std } = run
  // As it was trained: photos that came since would change what a pixel means.
  const result = await evaluate(run.trainer, { ...data[split], mean, std }, rest)
  return { schema: 1, run: run.spec.text, dataset: data.name, split, ...result }
}

function checkOptions(options: EvaluateRunOptions) {
  checkKeys(options, 'options', ['split', 'batchSize', 'limit', 'shared', 'signal'])
  const { split = 'test', ...rest } = options
  if (split === 'train' || split === 'test') return { split, ...rest } as const
  throw new LocalformerError('ERR_CONFIG', expected('train or test', 'split', split))
}

function checkRun(run: unknown): asserts run is LoadedRun {
  readArgument('run', () => {
    const { trainer, spec, classes } = (
      typeof run === 'object' && run !== null ? run : {}
    ) as Partial<LoadedRun>
    if (isHandle(trainer, Trainer) && typeof spec?.text === 'string' && Array.isArray(classes))
      return
    throw new LocalformerError('ERR_CONFIG', expected('what loadRun gave', 'run', typeof run))
  })
}

function checkClasses({ classes, dataset }: LoadedRun, data: Dataset): void {
  if (data.classes.length !== classes.length) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `The run was trained on ${classes.length} classes, data set ${data.name} has ${data.classes.length}`,
    )
  }
  const differs = data.classes.findIndex((name, k) => name !== classes[k])
  if (data.name !== dataset || differs === -1) return
  throw new LocalformerError(
    'ERR_CONFIG',
    `Class ${differs} was ${classes[differs]} when the run was trained and is ${data.classes[differs]}`,
    { hint: 'Name the classes (the folders of photos) as they were.' },
  )
}
