// Weights of another package, or of a run, into a network.

import { expected, LocalformerError } from '../base/errors.js'
import { boolean, checkFile, lazy, oneOf, parseOptions, zod } from '../base/validate.js'
import { type Parameter, SwinTransformer, type Tensors } from '../local/swin-transformer.js'
import { isHandle } from '../native/handle.js'
import { type ReadCheckpoint, readCheckpoint } from './checkpoint.js'
import { detectFormat, FORMATS, type WeightFormat } from './formats.js'
import {
  CLASSIFIER,
  CLASSIFIER_CHOICES,
  type ClassifierChoice,
  type Plan,
  planLoad,
  type WeightsReport,
} from './plan.js'
import { doesNotFit, notASwin } from './refusal.js'
import { checkNames } from './trained-on.js'
import { weightsFileOf } from './weights-file.js'

export interface LoadWeightsOptions {
  /**
   * Whose names the file has; default `auto`: told by the names. timm before 0.9 had Microsoft's
   * names and is reported as `microsoft`.
   */
  readonly format?: WeightFormat | 'auto'
  /**
   * Default true: a tensor that is missing, unknown or of another shape is an error, and nothing is
   * written. False: what fits is loaded, and the rest is in the report.
   */
  readonly strict?: boolean
  /**
   * The file's classifier. `auto`, the default: loaded, unless it is one for another number of
   * classes, in which case the network keeps its own values. `load`: it has to fit. `skip`: the
   * network keeps its own in any case, and the file needs none.
   */
  readonly classifier?: ClassifierChoice
  /**
   * Default false: values that are no finite numbers, as a training leaves that diverged, are an error
   * that names their tensors. True: they are taken.
   */
  readonly allowNonFinite?: boolean
}

/** With a smaller share of the parameters it is another network, whatever `strict` says. */
const LEAST_SHARE = 0.25

const schema = lazy(() =>
  zod().object({
    format: oneOf(['auto', ...FORMATS]).default('auto'),
    strict: boolean().default(true),
    classifier: oneOf(CLASSIFIER_CHOICES).default('auto'),
    allowNonFinite: boolean().default(false),
  }),
)

/**
 * Loads a safetensors file with the names of timm, torchvision or Microsoft's Swin Transformer, or of
 * `localformer train` (of a run folder its newest weights), into a network of the same width, depths, heads and patch. Bias tables are
 * resized (bicubic) where the window differs; values of F16, BF16 and F64 become float32. An
 * optimizer of a trainer that is there already keeps its state.
 *
 * ```ts
 * const { classifier, resized } = await loadWeights(model, 'swin_tiny.safetensors')
 * ```
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` for a file that cannot be read, that holds no Swin
 *   Transformer or less than a quarter of this one, and with `strict` for one that does not fit in
 *   every tensor: one error that lists them by kind, whose properties `missing`, `unexpected` and
 *   `mismatched` are those of the report; `ERR_NON_FINITE`, `ERR_CONFIG`, `ERR_BUSY`, `ERR_DISPOSED`.
 */
export async function loadWeights(
  model: SwinTransformer,
  file: string,
  options: LoadWeightsOptions = {},
): Promise<WeightsReport> {
  checkFile(file, 'file')
  if (!isHandle(model, SwinTransformer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
  }
  const checked = parseOptions(schema(), options)
  const parameters = model.parameters()
  const source = await weightsFileOf(file)
  const { values, report } = planFile(source, await readCheckpoint(source), parameters, checked)
  await model.writeParameters(values)
  return report
}

/** @throws {LocalformerError} `ERR_CHECKPOINT` where the file does not fit, as far as `strict` asks. */
export function planFile(
  file: string,
  contents: ReadCheckpoint,
  parameters: readonly Parameter[],
  { format, strict, classifier, allowNonFinite }: Required<LoadWeightsOptions>,
): Plan {
  const names = [...Object.keys(contents.tensors), ...contents.skipped.map(({ name }) => name)]
  const detected = detectFormat(names)
  if (detected === undefined && (format === 'auto' || strict)) throw notASwin(file, contents)
  // Microsoft's names are also old ones of timm's.
  const isOldTimm = format === 'timm' && detected === 'microsoft'
  const taken = format === 'auto' || isOldTimm ? detected : format
  // With names of no Swin there is a format that was asked for.
  const plan = planLoad(contents, parameters, taken as WeightFormat, classifier)
  const { loaded, missing, unexpected, mismatched } = plan.report
  const isWhole = missing.length + unexpected.length + mismatched.length === 0
  if (loaded.length < parameters.length * LEAST_SHARE || (strict && !isWhole)) {
    const advice = strict ? adviceFor(plan.report) : 'Too little of the network is in it.'
    throw doesNotFit(file, contents, parameters, format, plan.report, advice)
  }
  if (!allowNonFinite) checkFinite(file, plan.values)
  const [, bias] = CLASSIFIER.map((name) => plan.values[name])
  checkNames(file, plan.report.trainedOn, bias?.shape[0])
  return plan
}

function checkFinite(file: string, values: Tensors): void {
  const found = Object.entries(values).flatMap(([name, { data }]) => {
    const count = data.reduce((sum, value) => sum + (Number.isFinite(value) ? 0 : 1), 0)
    return count === 0 ? [] : [{ name, count }]
  })
  if (found.length === 0) return
  const shown = found.slice(0, 5).map(({ name, count }) => `${count} in ${name}`)
  const more =
    found.length > shown.length ? `, and ${found.length - shown.length} more tensors` : ''
  throw new LocalformerError(
    'ERR_NON_FINITE',
    `${file} holds values that are no finite numbers: ${shown.join(', ')}${more}`,
    {
      hint: 'They are of a training that diverged; allowNonFinite (--allow-non-finite) takes them.',
      details: { tensors: found.map(({ name }) => name) },
    },
  )
}

function adviceFor({ missing, unexpected, mismatched }: WeightsReport): string {
  const isHeadless = missing.length === 2 && missing.every((name) => name.startsWith('head.fc.'))
  return isHeadless && unexpected.length + mismatched.length === 0
    ? "The file has no classifier: classifier 'skip' keeps the network's own."
    : 'Without strict (strict: false) what fits is loaded and the rest is reported.'
}
