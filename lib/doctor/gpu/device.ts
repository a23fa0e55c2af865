// Which device the items are run on, found out in a process of its own: looking for a GPU loads its driver.

import { LocalformerError } from '../../base/errors.js'
import { getDeviceProperties } from '../../device/cuda.js'
import { cardOfDevice, cudaDeviceCount, resolveDevice, whyNoCuda } from '../../device/device.js'
import { checkSimulation } from '../../device/simulation.js'
import { nvidiaDevice } from '../../native/load.js'
import { type Finding, type GpuDevice, type ItemRequest, ok } from './item.js'

/** What is simulated where there is no GPU: a card of a usual size. */
const STAND_IN = 'sim:rtx3060'

/** @throws {LocalformerError} where neither a CUDA device nor a simulated one can be had. */
export async function device({ device: wanted }: ItemRequest): Promise<Finding> {
  const isAuto = wanted === 'auto'
  const isThere = isAuto && cudaDeviceCount() > 0
  const name = isAuto ? (isThere ? 'cuda:0' : STAND_IN) : wanted
  const card = cardOfDevice(name)
  if (card !== undefined) {
    if (isAuto) checkNoDriver()
    checkSimulation()
    const reason = isAuto ? `no CUDA device (${whyNoCuda()})` : 'as asked for'
    return found({ name: `sim:${card.key}`, kind: 'simulated', title: card.name, reason })
  }
  const resolved = resolveDevice(name)
  if (resolved.name === 'cpu') {
    return found({ name: 'cpu', kind: 'cpu', title: 'CPU', reason: resolved.reason })
  }
  const { name: title } = getDeviceProperties(Number(resolved.name.slice('cuda:'.length)))
  return found({ name: resolved.name, kind: 'gpu', title, reason: resolved.reason })
}

// Where there is a GPU that cannot be used, that is to be mended, and nothing simulated in its place.
function checkNoDriver(): void {
  if (nvidiaDevice() === undefined) return
  throw new LocalformerError('ERR_DEVICE_UNAVAILABLE', `No CUDA device is usable: ${whyNoCuda()}`, {
    hint: 'Run `npx localformer doctor`, or simulate a card: --device sim:rtx3060.',
  })
}

function found(details: GpuDevice): Finding {
  return ok(details.title, details)
}
