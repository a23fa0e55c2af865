// A plain Swin into a file that other packages load.

import { expected, LocalformerError } from '../base/errors.js'
import { checkKeys, lazy, oneOf, parseOptions, readArgument, zod } from '../base/validate.js'
import { type SwinConfig, SwinTransformer, type Tensors } from '../local/swin-transformer.js'
import { isHandle } from '../native/handle.js'
import { type CheckpointToWrite, type WrittenFile, writeCheckpoint } from './checkpoint.js'
import { theirName, WRITTEN_FORMATS, type WrittenFormat } from './formats.js'
import { checkOutput } from './output.js'
import { windowOfStage } from './parameter-list.js'
import { pythonFor } from './python.js'
import { relativePositionIndex } from './torchvision.js'
import { metadataOf, type TrainedOn, type TrainedOnOptions, trainedOnOf } from './trained-on.js'

export interface ExportWeightsOptions extends TrainedOnOptions {
  /**
   * Whose names, so that its `load_state_dict` takes the file as it is: timm's (>= 0.9; default) or
   * torchvision's, which come with its buffers `relative_position_index`.
   */
  readonly format?: WrittenFormat
}

/** A file that was written, and how Python reads it. */
export interface ExportedWeights extends WrittenFile {
  /** Lines that load it into the package whose names it has, and prepare images for it. */
  readonly python: string
}

const schema = lazy(() => zod().object({ format: oneOf(WRITTEN_FORMATS).default('timm') }))
const TRAINED_ON = ['dataset', 'classes', 'mean', 'std'] as const

/**
 * Writes a network, without heads and decoders of a trainer, as safetensors in float32. The metadata
 * has the sizes (`model`, JSON), what is said of the images (see {@link TrainedOn}), and `format: pt`,
 * which readers of PyTorch files ask for. The file is written under a temporary name and renamed.
 *
 * ```ts
 * const { model, dataset, classes, mean, std } = await loadRun('runs/mine', 'cpu')
 * const { python } = await exportWeights(model, 'a.safetensors', { dataset, classes, mean, std })
 * ```
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where it cannot be written; `ERR_CONFIG`, also for
 *   torchvision's names and a map that is smaller than the window, which torchvision pads;
 *   `ERR_BUSY`, `ERR_DISPOSED`.
 */
export async function exportWeights(
  model: SwinTransformer,
  file: string,
  options: ExportWeightsOptions = {},
): Promise<ExportedWeights> {
  checkOutput(file, 'file')
  if (!isHandle(model, SwinTransformer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
  }
  checkKeys(options, 'options', ['format', ...TRAINED_ON])
  const { format } = parseOptions(
    schema(),
    readArgument('options', () => ({ format: options.format })),
  )
  const { config } = model
  const trainedOn = trainedOnOf(options, config.classes)
  checkExportable(config, format)
  const checkpoint = toFormat(await model.readParameters(), config, format, trainedOn)
  const written = await writeCheckpoint(file, checkpoint)
  return { ...written, python: pythonFor(file, config, format, trainedOn) }
}

/** @throws {LocalformerError} `ERR_CONFIG` for a network that the format's package computes otherwise. */
export function checkExportable(config: SwinConfig, format: WrittenFormat): void {
  if (format !== 'torchvision') return
  const { windowSize, depths } = config
  const stage = depths.findIndex((_, index) => windowOfStage(config, index) < windowSize)
  if (stage === -1) return
  const map = windowOfStage(config, stage)
  throw new LocalformerError(
    'ERR_CONFIG',
    `The map of stage ${stage + 1}, ${map} x ${map}, is smaller than the window ${windowSize}: ` +
      'torchvision pads it, and would give other logits',
    { hint: "Take timm's names, or a larger image or smaller window." },
  )
}

/** Parameters by our names -> what is written. */
export function toFormat(
  tensors: Tensors,
  config: SwinConfig,
  format: WrittenFormat,
  trainedOn: TrainedOn,
): CheckpointToWrite {
  const renamed = Object.entries(tensors).map(([name, tensor]) => [theirName(format, name), tensor])
  return {
    tensors: Object.fromEntries(renamed),
    metadata: { format: 'pt', model: JSON.stringify(config), ...metadataOf(trainedOn) },
    ...(format === 'torchvision' ? { integers: indicesOf(tensors, config) } : {}),
  }
}

function indicesOf(
  tensors: Tensors,
  { windowSize }: SwinConfig,
): NonNullable<CheckpointToWrite['integers']> {
  const data = relativePositionIndex(windowSize)
  const tables = Object.keys(tensors).filter((name) => name.endsWith('_bias_table'))
  return Object.fromEntries(
    tables.map((name) => [
      theirName('torchvision', name.replace(/_bias_table$/, '_index')),
      { shape: [data.length], data },
    ]),
  )
}
