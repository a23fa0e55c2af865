// From one package's names to another's, without a network and without LibTorch.
import { stat } from 'node:fs/promises'
import { LocalformerError } from '../base/errors.js'
import { boolean, checkFile, integer, lazy, oneOf, parseOptions, zod } from '../base/validate.js'
import { resolveSwinConfig, type SwinConfig } from '../local/swin-transformer.js'
import { readCheckpoint, writeCheckpoint } from './checkpoint.js'
import { checkExportable, toFormat } from './export-weights.js'
import { networkOf } from './file-network.js'
import { FORMATS, type WeightFormat, WRITTEN_FORMATS, type WrittenFormat } from './formats.js'
import { planFile } from './load-weights.js'
import { checkOutput } from './output.js'
import { parameterList } from './parameter-list.js'
import type { WeightsReport } from './plan.js'
import { pythonFor } from './python.js'
import { doesNotFit, notASwin } from './refusal.js'

export interface ConvertWeightsOptions {
  /** Whose names the file has; default `auto`. */
  readonly format?: WeightFormat | 'auto'
  /** Whose names are written; default `timm`. */
  readonly to?: WrittenFormat
  /**
   * Side of the square input in pixels. Default: that at which the last stage's map is one window, as
   * in every published network.
   */
  readonly imageSize?: number
  /** Default: the file's, or with `imageSize` the largest that fits, as in `SwinOptions`. */
  readonly windowSize?: number
  /** Default true; false leaves out tensors that are no part of a Swin Transformer. */
  readonly strict?: boolean
  /** Default false: values that are no finite numbers are an error. */
  readonly allowNonFinite?: boolean
}

export interface ConvertedWeights extends WeightsReport {
  /** Sizes of the network that was written. */
  readonly config: SwinConfig
  /** Lines of Python that load it into the package whose names it has, and prepare images for it. */
  readonly python: string
}

const schema = lazy(() =>
  zod().object({
    format: oneOf(['auto', ...FORMATS]).default('auto'),
    to: oneOf(WRITTEN_FORMATS).default('timm'),
    imageSize: integer(1, 4096).optional(),
    windowSize: integer(1, 64).optional(),
    strict: boolean().default(true),
    allowNonFinite: boolean().default(false),
  }),
)

/**
 * Writes the Swin of a safetensors file with timm's or torchvision's names. Its sizes are those of
 * the file; for another image size or window the bias tables are resized. What the file says of the
 * images that it was trained on stays in its metadata.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` for a file that cannot be read or written, holds no Swin
 *   Transformer, or is incomplete; `ERR_NON_FINITE`; `ERR_CONFIG` for sizes that do not divide, where
 *   both are one file, and for an output whose name says another format.
 */
export async function convertWeights(
  file: string,
  output: string,
  options: ConvertWeightsOptions = {},
): Promise<ConvertedWeights> {
  checkFile(file, 'file')
  checkOutput(output, 'output')
  const checked = parseOptions(schema(), options)
  const { format, to, imageSize, windowSize, strict, allowNonFinite } = checked
  await checkOther(file, output)
  const contents = await readCheckpoint(file)
  const { tensors, skipped } = contents
  const network = networkOf([
    ...Object.entries(tensors).map(([name, { shape }]) => ({ name, shape })),
    ...skipped,
  ])
  if (!network) throw notASwin(file, contents)
  const { patchSize, embedDim, depths, heads, mlpRatio, classes } = network
  if (classes === null) {
    throw new LocalformerError('ERR_CHECKPOINT', `${file} has no classifier`, {
      hint: 'Load it with `loadWeights` and classifier `skip`.',
    })
  }
  const window = windowSize ?? (imageSize === undefined ? network.windowSize : undefined)
  const { device: _, ...config } = resolveSwinConfig({
    ...{ patchSize, embedDim, depths, heads, mlpRatio, classes },
    imageSize: imageSize ?? network.imageSize,
    ...(window === undefined ? {} : { windowSize: window }),
    device: 'cpu',
  })
  checkExportable(config, to)
  const parameters = parameterList(config)
  const loading = { format, strict: false, classifier: 'load', allowNonFinite } as const
  const { values, report } = planFile(file, contents, parameters, loading)
  const isWhole = report.missing.length + report.mismatched.length === 0
  if (!isWhole || (strict && report.unexpected.length > 0)) {
    const advice = isWhole
      ? 'Without strict (strict: false, --no-strict) what is no part of a Swin is left out.'
      : 'Only a whole network is written.'
    throw doesNotFit(file, contents, parameters, format, report, advice)
  }
  const { trainedOn } = report
  await writeCheckpoint(output, toFormat(values, config, to, trainedOn))
  return { ...report, config, python: pythonFor(output, config, to, trainedOn) }
}

/** What is converted loses heads, decoders and what says how it was trained: never in place. */
async function checkOther(file: string, output: string): Promise<void> {
  const [one, other] = await Promise.all(
    [file, output].map((place) => stat(place).catch(() => null)),
  )
  if (!one || !other || one.dev !== other.dev || one.ino !== other.ino) return
  throw new LocalformerError('ERR_CONFIG', `${output} is the file that is converted`, {
    hint: 'Name another file to write: only the plain Swin is written, without heads and decoders.',
  })
}
