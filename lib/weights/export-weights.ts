// A plain Swin into a file that other packages load.

import { expected, LocalformerError } from '../base/errors.js'
import { checkFile, lazy, oneOf, parseOptions, zod } from '../base/validate.js'
import { type SwinConfig, SwinTransformer, type Tensors } from '../local/swin-transformer.js'
import { isHandle } from '../native/handle.js'
import { type CheckpointToWrite, writeCheckpoint } from './checkpoint.js'
import { theirName, WRITTEN_FORMATS, type WrittenFormat } from './formats.js'
import { windowOfStage } from './parameter-list.js'
import { relativePositionIndex } from './torchvision.js'

export interface ExportWeightsOptions {
  /**
   * Whose names, so that its `load_state_dict` takes the file as it is: timm's (>= 0.9; default) or
   * torchvision's, which come with its buffers `relative_position_index`.
   */
  readonly format?: WrittenFormat
}

const schema = lazy(() => zod().object({ format: oneOf(WRITTEN_FORMATS).default('timm') }))

/**
 * Writes a network, without heads and decoders of a trainer, as safetensors in float32. The metadata
 * has the sizes (`model`, JSON) and `format: pt`, which readers of PyTorch files ask for. The file is
 * written under a temporary name and renamed.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` where it cannot be written; `ERR_CONFIG`, also for
 *   torchvision's names and a map that is smaller than the window, which torchvision pads;
 *   `ERR_BUSY`, `ERR_DISPOSED`.
 */
export async function exportWeights(
  model: SwinTransformer,
  file: string,
  options: ExportWeightsOptions = {},
): Promise<void> {
  checkFile(file, 'file')
  if (!isHandle(model, SwinTransformer)) {
    throw new LocalformerError('ERR_CONFIG', expected('a SwinTransformer', 'model', model))
  }
  const { format } = parseOptions(schema(), options)
  checkExportable(model.config, format)
  await writeCheckpoint(file, toFormat(await model.readParameters(), model.config, format))
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
): CheckpointToWrite {
  const renamed = Object.entries(tensors).map(([name, tensor]) => [theirName(format, name), tensor])
  return {
    tensors: Object.fromEntries(renamed),
    metadata: { format: 'pt', model: JSON.stringify(config) },
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
