// Which device: cpu, cuda, cuda:N or auto, and why.
import { expected, LocalformerError } from '../base/errors.js'
import { loadAll, loadTorch, NVIDIA_NODES, nvidiaDevice } from '../native/load.js'

/** `cpu`, `cuda` (the first), `cuda:N`, or `auto`: CUDA where there is a device, else the CPU. */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}` | 'auto'

export interface ResolvedDevice {
  readonly name: string
  /** Why it was taken, as a sentence without its full stop. */
  readonly reason: string
}

/**
 * @throws {LocalformerError} `ERR_CONFIG` for another word, `ERR_DEVICE_UNAVAILABLE` where a CUDA
 *   device was asked for and there is none.
 */
export function resolveDevice(device: string): ResolvedDevice {
  checkDeviceName(device)
  if (device === 'cpu') return { name: 'cpu', reason: 'as asked for' }
  const count = cudaDeviceCount()
  if (device === 'auto') {
    return count > 0
      ? { name: 'cuda:0', reason: `the first of ${count} CUDA device(s)` }
      : { name: 'cpu', reason: `no CUDA device (${whyNoCuda()})` }
  }
  const index = device === 'cuda' ? 0 : Number(device.slice('cuda:'.length))
  if (index >= count) {
    throw new LocalformerError(
      'ERR_DEVICE_UNAVAILABLE',
      `Device ${device} is not available: ${count === 0 ? whyNoCuda() : `there are ${count}`}`,
      { hint: 'Use the device cpu or auto; `npx localformer doctor` says more.' },
    )
  }
  return { name: `cuda:${index}`, reason: 'as asked for' }
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function checkDeviceName(device: unknown): asserts device is DeviceName {
  if (typeof device === 'string' && /^(cpu|auto|cuda(:\d{1,3})?)$/.test(device)) return
  throw new LocalformerError('ERR_CONFIG', expected('cpu, cuda, cuda:N or auto', 'device', device))
}

/** Number of CUDA devices; 0 without loading anything where the driver has no device node. */
export function cudaDeviceCount(): number {
  return nvidiaDevice() === undefined ? 0 : loadTorch().cudaDeviceCount()
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
