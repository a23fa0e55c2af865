// What `localformer doctor --gpu` settles: every item on one device, one after the other, within ten
// minutes. in: the device that is asked for -> out: a report, a row an item.
import { type ErrorCode, LocalformerError } from '../../base/errors.js'
import { packageVersion } from '../../base/version.js'
import type { GpuDevice, ItemRow } from './item.js'
import { ITEMS, type Item } from './items.js'
import { runItem } from './run-item.js'

export interface CheckGpuOptions {
  /** `auto`: a CUDA device where there is one, else a simulated card. */
  readonly device: string
  /** The micro network, small batches: whether it runs at all. Default false. */
  readonly quick?: boolean
  /** Of all items together; default 600 on a GPU, elsewhere {@link SLOWER} times as much. */
  readonly budgetSeconds?: number
  /** Default: {@link ITEMS}. */
  readonly items?: readonly Item[]
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { title: string; done: number; total: number }) => void
}

export interface GpuReport {
  readonly schema: 1
  /** Is all that was run as it has to be? */
  readonly ok: boolean
  /** Day and time (UTC). */
  readonly date: string
  readonly version: string
  readonly device: GpuDevice
  readonly quick: boolean
  readonly items: readonly ItemRow[]
}

/** Without a GPU the processor does all of it: limits are there to end what hangs. */
const SLOWER = 6
const BUDGET_SECONDS = 600
/** For finding the device; opening the libraries of a GPU takes seconds on a cold disk. */
const DEVICE_SECONDS = 60
/** Less is not worth beginning an item. */
const LEAST_SECONDS = 2

/** @throws {LocalformerError} where the device cannot be had, with what is to be installed. */
export async function checkGpu(options: CheckGpuOptions): Promise<GpuReport> {
  const { quick = false, items = ITEMS, signal, onProgress } = options
  const begin = performance.now()
  const device = await findDevice(options)
  const slower = device.kind === 'gpu' ? 1 : SLOWER
  const budgetSeconds = options.budgetSeconds ?? BUDGET_SECONDS * slower
  const rows: ItemRow[] = []
  for (const [done, item] of items.entries()) {
    onProgress?.({ title: item.title, done, total: items.length })
    const left = budgetSeconds - (performance.now() - begin) / 1000
    const limitSeconds = Math.min(item.limitSeconds * slower, left)
    rows.push(await rowOf(item, { device, quick, limitSeconds, signal }))
  }
  onProgress?.({ title: 'done', done: items.length, total: items.length })
  return {
    schema: 1,
    ok: rows.every(({ status }) => status !== 'fail'),
    date: new Date().toISOString(),
    version: packageVersion(),
    ...{ device, quick, items: rows },
  }
}

async function rowOf(item: Item, context: Parameters<Item['run']>[0]): Promise<ItemRow> {
  const { id, title, on } = item
  const { kind } = context.device
  const left = (summary: string): ItemRow => ({
    ...{ id, title, status: 'left', seconds: null, summary, details: null },
  })
  if (!on.includes(kind)) return left(reasonOf(kind))
  if (context.limitSeconds < LEAST_SECONDS) return left('the time for all items is over')
  const begin = performance.now()
  const outcome = await item.run(context)
  return { id, title, ...outcome, seconds: (performance.now() - begin) / 1000 }
}

function reasonOf(kind: GpuDevice['kind']): string {
  return kind === 'simulated'
    ? 'needs a GPU: nothing is computed on a simulated card'
    : 'needs a CUDA device, real or simulated'
}

async function findDevice({ device, quick = false, signal }: CheckGpuOptions): Promise<GpuDevice> {
  const request = { work: 'device', device, quick }
  const ended = await runItem(request, { limitSeconds: DEVICE_SECONDS, signal })
  if (ended.type === 'finding') return ended.finding.details as GpuDevice
  if (ended.type === 'died') {
    throw new LocalformerError(
      'ERR_DEVICE_UNAVAILABLE',
      `The process that looked for the device ${device} ${ended.how}`,
      { hint: 'Run `npx localformer doctor`, and `nvidia-smi`.' },
    )
  }
  throw new LocalformerError((ended.code ?? 'ERR_DEVICE_UNAVAILABLE') as ErrorCode, ended.message, {
    ...(ended.hint === null ? {} : { hint: ended.hint }),
  })
}
