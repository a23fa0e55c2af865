// What a file of weights holds, without reading the weights.
import { checkFile } from '../base/validate.js'
import { listCheckpoint } from './checkpoint.js'
import { isFloatType } from './dtypes.js'
import { describeNetwork, type FileNetwork, networkOf } from './file-network.js'
import { detectFormat, isDropped, type WeightFormat } from './formats.js'
import { readTrainedOn, type TrainedOn } from './trained-on.js'

export interface WeightsInfo {
  /** Whose names; null where no Swin Transformer is recognised. */
  readonly format: WeightFormat | null
  /** What it seems to be, as a phrase: `a Swin tiny (patch 4, ...)`, `a ResNet`. */
  readonly description: string
  /** Sizes; null where the names do not show them, or are those of no Swin that can be loaded. */
  readonly network: FileNetwork | null
  /** Number of tensors that hold weights. */
  readonly tensors: number
  /** Values in them. */
  readonly parameters: number
  /** Number of tensors that are not loaded: buffers, and heads and decoders of `localformer train`. */
  readonly dropped: number
  /** Number of tensors by data type. */
  readonly dtypes: Readonly<Record<string, number>>
  readonly metadata: Readonly<Record<string, string>>
  /** What that says of the images that the network was trained on. */
  readonly trainedOn: TrainedOn
}

/**
 * Looks at the header of a safetensors file.
 *
 * @throws {LocalformerError} `ERR_CHECKPOINT` for a file that is missing, truncated or no safetensors.
 */
export async function inspectWeights(file: string): Promise<WeightsInfo> {
  checkFile(file, 'file')
  const { tensors, metadata } = await listCheckpoint(file)
  const weights = tensors.filter(({ name, dtype }) => isFloatType(dtype) && !isDropped(name))
  const dtypes: Record<string, number> = {}
  for (const { dtype } of tensors) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1
  return {
    format: detectFormat(tensors.map(({ name }) => name)) ?? null,
    description: describeNetwork(tensors),
    network: networkOf(tensors) ?? null,
    tensors: weights.length,
    parameters: weights.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    dropped: tensors.length - weights.length,
    dtypes,
    metadata,
    trainedOn: readTrainedOn(metadata),
  }
}
