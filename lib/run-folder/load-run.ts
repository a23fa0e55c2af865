// A run folder, one of its checkpoints or its weights -> network and trainer, for use.
import path from 'node:path'
import { LocalformerError } from '../base/errors.js'
import { isThere } from '../base/files.js'
import { CHECKPOINTS_FOLDER, WEIGHTS_FILE } from '../base/run-files.js'
import { checkFile } from '../base/validate.js'
import { checkComputes, checkDeviceName } from '../device/device.js'
import { choicesOf } from '../device/products.js'
import { SwinTransformer } from '../local/swin-transformer.js'
import { partsOf, type Trainer } from '../local/trainer.js'
import { createTrainer } from '../local/trainer-of-spec.js'
import { readCheckpoint } from '../weights/checkpoint.js'
import { CheckpointStore, findIndex } from './checkpoint-store.js'
import { type RunMetadata, readMetadata } from './run-metadata.js'
import { multipliesAlike, surroundingsOf } from './surroundings.js'

export interface LoadedRun extends Omit<RunMetadata, 'config'> {
  readonly model: SwinTransformer
  readonly trainer: Trainer
}

/**
 * Rebuilds the network and its modules' heads from a run folder, one of its checkpoints or a weights
 * file; a run of the command line or of a script.
 *
 * @param device `cpu`, `cuda`, `cuda:N` or `auto`, the default.
 * @throws {LocalformerError} `ERR_CHECKPOINT`, `ERR_CONFIG`, and what `SwinTransformer.create` throws.
 */
export async function loadRun(place: string, device: string = 'auto'): Promise<LoadedRun> {
  checkFile(place, 'place', 'the name of a run folder or of its weights')
  checkDeviceName(device)
  checkComputes(device, 'evaluate or predict with a run')
  const file = place.endsWith('.safetensors') ? place : path.join(place, WEIGHTS_FILE)
  await checkThere(place, file)
  const { tensors, metadata } = await readCheckpoint(file)
  const { config, spec, ...rest } = readMetadata(file, metadata)
  const model = await SwinTransformer.create({ ...config, device })
  try {
    const trainer = await createTrainer(model, spec)
    const wanted = [...model.parameters(), ...trainer.auxiliaryParameters()].map(({ name }) => name)
    const missing = wanted.filter((name) => !(name in tensors))
    if (missing.length > 0) {
      const some = missing.slice(0, 5).join(', ')
      throw new LocalformerError(
        'ERR_CHECKPOINT',
        `${file} lacks ${missing.length} tensors: ${some}${missing.length > 5 ? ', ...' : ''}`,
      )
    }
    const [network, auxiliary] = partsOf(tensors)
    await model.writeParameters(network)
    await trainer.writeAuxiliary(auxiliary)
    await useProductsBeside(file, trainer)
    return { model, trainer, spec, ...rest }
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** What computed the products of the run computes those of what is asked of it, so that digits are the same. */
async function useProductsBeside(weights: string, trainer: Trainer): Promise<void> {
  const folder = path.dirname(weights)
  const store = new CheckpointStore(path.join(folder, CHECKPOINTS_FOLDER))
  // Of the checkpoint itself, or of the newest one of the run.
  const { products, surroundings } = (await findIndex(folder)) ?? (await store.index()) ?? {}
  if (products === undefined || !multipliesAlike(surroundingsOf(trainer), surroundings)) return
  await trainer.setProducts(choicesOf(products))
}

async function checkThere(place: string, file: string): Promise<void> {
  if (await isThere(file)) return
  const what = (await isThere(place)) ? `${place} holds no ${WEIGHTS_FILE}` : `There is no ${place}`
  throw new LocalformerError('ERR_CHECKPOINT', what, {
    hint: 'Name the folder of a run, which has weights from its first checkpoint on, or a file of them.',
  })
}
