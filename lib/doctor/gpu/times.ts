// Step times, and how much of the time the GPU is busy.

import { LocalformerError } from '../../base/errors.js'
import { formatPercent } from '../../base/format.js'
import { median } from '../../base/median.js'
import { emptyCache } from '../../device/memory.js'
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { BusySampler } from './busy.js'
import { type Finding, type ItemRequest, ok } from './item.js'
import { batchOf, openDevice, subjectOf } from './subject.js'

const RUNS = [
  'backprop',
  'paper:4',
  'paper:4,split=balanced,recompute=block',
  'paper:4,dtype=bfloat16',
]
const WARMUP = 3
/** Of steps, for the sampler's sake; at least three steps. */
const MEASURED_SECONDS = 5

interface TimeRow {
  readonly spec: string
  /** Null where it was out of memory. */
  readonly stepSeconds: number | null
  readonly imagesPerSecond: number | null
  /** Share of nvidia-smi's sampling periods in which a kernel ran, whatever part of the card it filled. */
  readonly busyShare: number | null
}

export async function times(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  const sampler = name === 'cpu' ? undefined : await BusySampler.find()
  const rows: TimeRow[] = []
  for (const spec of RUNS) rows.push(await timeOf(request, name, spec, sampler))
  const text = rows.map(({ spec, stepSeconds, busyShare }) => {
    if (stepSeconds === null) return `${spec} out of memory`
    const busy = busyShare === null ? '' : `, busy ${formatPercent(busyShare)}`
    return `${spec} ${(stepSeconds * 1000).toFixed(0)} ms${busy}`
  })
  const why =
    sampler === undefined || sampler.reason === null
      ? ''
      : `; busy share unknown: ${sampler.reason}`
  const { batchSize } = subjectOf(request)
  return ok(`batch ${batchSize}: ${text.join('; ')}${why}`, {
    ...{ batchSize, rows, busyReason: sampler?.reason ?? null },
  })
}

async function timeOf(
  request: ItemRequest,
  device: string,
  spec: string,
  sampler: BusySampler | undefined,
): Promise<TimeRow> {
  const { network, batchSize } = subjectOf(request)
  const batch = batchOf(batchSize)
  emptyCache(device)
  try {
    await using model = await SwinTransformer.create({ ...network, device: device as 'cpu' })
    await using trainer = await createTrainer(model, parseRunSpec(spec), {}, batchSize)
    // From the call to its answer, so that the batch's way to the device counts. A step that is
    // answered is over on the device too: its losses were read.
    const step = async () => {
      const begin = performance.now()
      await trainer.step(batch, { learningRate: 1e-4 })
      return (performance.now() - begin) / 1000
    }
    for (let i = 0; i < WARMUP; i++) await step()
    const least = request.quick ? 0 : MEASURED_SECONDS
    const seconds: number[] = []
    const sampling = sampler?.start()
    while (seconds.length < 3 || seconds.reduce((a, b) => a + b, 0) < least)
      seconds.push(await step())
    const busyShare = (await sampling?.stop()) ?? null
    const stepSeconds = median(seconds)
    return { spec, stepSeconds, imagesPerSecond: batchSize / stepSeconds, busyShare }
  } catch (error) {
    if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') throw error
    return { spec, stepSeconds: null, imagesPerSecond: null, busyShare: null }
  }
}
