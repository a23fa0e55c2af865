// Which device: cpu, cuda, cuda:N, auto or a simulated card, and why.
import { groupVariables } from '../base/environment.js'
import { expected, LocalformerError } from '../base/errors.js'
import {
  loadAll,
  loadTorch,
  NVIDIA_NODES,
  nvidiaDevice,
  prepareCuda,
  simulatedCard,
} from '../native/load.js'
import { type Card, cardNamed } from '../simulated/cards.js'

/**
 * `cpu`, `cuda` (the first; for one of several processes of a host that of its `LOCAL_RANK`), `cuda:N`,
 * `auto` (`cuda` where there is a device, else the CPU), or a CUDA card that is simulated for its memory alone: `sim:rtx3060`, `sim:12GiB,sm_86`. Within a process that
 * simulates a card `cuda` is that card.
 */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}` | 'auto' | `sim:${string}`

const SIMULATED = 'sim:'
const NOT_BY_ITSELF = 'a simulated card is only taken where it is asked for'

export interface ResolvedDevice {
  readonly name: string
  /** Why it was taken, as a sentence without its full stop. */
  readonly reason: string
}

/**
 * A simulated card is loaded.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for another word, `ERR_DEVICE_UNAVAILABLE` where a CUDA
 *   device was asked for and there is none; for a simulated card what {@link load} throws.
 */
export function resolveDevice(device: string): ResolvedDevice {
  checkDeviceName(device)
  if (device === 'cpu') return { name: 'cpu', reason: 'as asked for' }
  const card = cardOfDevice(device)
  if (card !== undefined) {
    loadAll({ simulate: card.key })
    prepareCuda()
    return { name: 'cuda:0', reason: `${card.name}, simulated: nothing is computed` }
  }
  const count = cudaDeviceCount()
  if (device === 'auto') {
    const isTaken = count > 0 && simulatedCard() === undefined
    if (isTaken) prepareCuda()
    return isTaken
      ? ownCard(count)
      : { name: 'cpu', reason: simulatedCard() ? NOT_BY_ITSELF : `no CUDA device (${whyNoCuda()})` }
  }
  if (device === 'cuda' && count > 0) {
    prepareCuda()
    return ownCard(count)
  }
  const index = device === 'cuda' ? 0 : Number(device.slice('cuda:'.length))
  if (index >= count) {
    throw new LocalformerError(
      'ERR_DEVICE_UNAVAILABLE',
      `Device ${device} is not available: ${count === 0 ? whyNoCuda() : `there are ${count}`}`,
      { hint: 'Use the device cpu or auto; `npx localformer doctor` says more.' },
    )
  }
  prepareCuda()
  return { name: `cuda:${index}`, reason: 'as asked for' }
}

/**
 * @internal The card of a process that did not choose one, of `count` that it sees. A launcher that shows each process its own card alone has
 * chosen; whether two ranks have come to the same one is looked at when they divide a trainer.
 */
export function ownCard(count: number): ResolvedDevice {
  const { rank, localRank } = groupVariables()
  if (rank === undefined || localRank === undefined || count === 1) {
    return { name: 'cuda:0', reason: `the first of ${count} CUDA device(s)` }
  }
  const index = Number(localRank)
  if (index < count) {
    return {
      name: `cuda:${index}`,
      reason: `that of LOCAL_RANK ${index}, of ${count} CUDA devices`,
    }
  }
  throw new LocalformerError(
    'ERR_DEVICE_UNAVAILABLE',
    `The process of LOCAL_RANK ${localRank} has no CUDA device: there are ${count}`,
    { hint: `Start at most ${count} processes on this host: ranks do not share a card.` },
  )
}

/** What a device may be, for a message. */
export const DEVICE_NAMES = 'cpu, cuda, cuda:N, auto or a simulated card such as sim:rtx3060'

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkDeviceName(device: unknown): asserts device is DeviceName {
  if (typeof device === 'string' && /^(cpu|auto|cuda(:\d{1,3})?)$/.test(device)) return
  if (typeof device === 'string' && cardOfDevice(device) !== undefined) return
  throw new LocalformerError('ERR_CONFIG', expected(DEVICE_NAMES, 'device', device))
}

/**
 * The card that `sim:NAME` asks for; undefined for any other device.
 *
 * @throws {LocalformerError} `ERR_CONFIG` for a card that is not known.
 */
export function cardOfDevice(device: string): Card | undefined {
  return device.startsWith(SIMULATED) ? cardNamed(device.slice(SIMULATED.length)) : undefined
}

/** The same of `cuda` too, which is the card of a process that simulates one. */
export function simulatedOn(device: string): Card | undefined {
  return cardOfDevice(device) ?? (device.startsWith('cuda') ? simulatedCard() : undefined)
}

/**
 * Refuses a simulated device, on which nothing is computed.
 *
 * @param what What it is asked to do: `train`.
 * @throws {LocalformerError} `ERR_CONFIG`
 */
export function checkComputes(device: string, what: string): void {
  const card = simulatedOn(device)
  if (card === undefined) return
  throw new LocalformerError(
    'ERR_CONFIG',
    `A simulated device computes nothing: it cannot ${what} (${card.name}, simulated)`,
    { hint: 'It measures memory: `compare`, `reproduce memory`, `summary`. Else cpu or cuda.' },
  )
}

/** Number of CUDA devices; 0 without loading anything where the driver has no device node. */
export function cudaDeviceCount(): number {
  const isThere = nvidiaDevice() !== undefined || simulatedCard() !== undefined
  return isThere ? loadTorch().cudaDeviceCount() : 0
}

/** What was looked for and not found. */
export function whyNoCuda(): string {
  if (nvidiaDevice() === undefined) {
    return `no NVIDIA driver: looked for ${NVIDIA_NODES.join(' and ')}`
  }
  return loadAll().location.flavor === 'cuda'
    ? 'the driver lists no usable device'
    : "the LibTorch in use has not NVIDIA's libraries: npx localformer libtorch install --flavor cuda"
}
