// What the items train: the paper's network on its images, or, to be quick, a small one; and the
// device that they were given.
import type { Dataset } from '../../datasets/dataset.js'
import { type Batch, batches } from '../../datasets/draw-batches.js'
import { syntheticDataset } from '../../datasets/synthetic.js'
import { cardOfDevice, resolveDevice } from '../../device/device.js'
import type { SwinOptions } from '../../local/swin-transformer.js'
import type { ItemRequest } from './item.js'

export interface Subject {
  readonly network: SwinOptions & { readonly imageSize: number }
  readonly batchSize: number
}

export function subjectOf({ quick }: Pick<ItemRequest, 'quick'>): Subject {
  return quick
    ? { network: { variant: 'micro', imageSize: 64 }, batchSize: 8 }
    : { network: { variant: 'tiny', imageSize: 224 }, batchSize: 32 }
}

export function imagesOf(count: number, imageSize = 32): Dataset {
  return syntheticDataset({ trainCount: count, testCount: 1, imageSize })
}

/** The same ones every time. */
export function batchesOf(count: number, batchSize: number, imageSize?: number): Batch[] {
  return [...batches(imagesOf(count * batchSize, imageSize).train, { batchSize, shuffle: false })]
}

/** A batch alone. */
export function batchOf(batchSize: number, imageSize?: number): Batch {
  return batchesOf(1, batchSize, imageSize)[0] as Batch
}

export interface OpenedDevice {
  /** `cpu` or `cuda:N`, in this process. */
  readonly name: string
  readonly index: number
  readonly isSimulated: boolean
}

/** Loads what the device needs, and nothing before it: a card is simulated by the first load. */
export function openDevice(device: string): OpenedDevice {
  const { name } = resolveDevice(device)
  const index = name === 'cpu' ? 0 : Number(name.slice('cuda:'.length))
  return { name, index, isSimulated: cardOfDevice(device) !== undefined }
}
