// Out of memory at the upload of a batch and in every phase of a step: a coded error with its numbers,
// all memory given back, and a next step that works.
import { LocalformerError } from '../../base/errors.js'
import { memGetInfo, setPerProcessMemoryFraction } from '../../device/cuda.js'
import * as memory from '../../device/memory.js'
import { BackpropTrainer } from '../../local/backprop-trainer.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice } from './subject.js'

// What a phase takes does not matter here, only that it fails: the small network is as good.
const SIZE = 64
const NETWORK = { variant: 'micro', imageSize: SIZE } as const
const BATCH = 128
/** More than what a segment that is kept can have room for. */
const UPLOADED = 1024
/** Limits between what is resident and the step's peak; some fall into every phase. */
const LIMITS = 24
const MIB = 2 ** 20

interface Failure {
  /** `upload`, or the phase of the step. */
  readonly where: string
  readonly limitBytes: number
  readonly message: string
  readonly problems: readonly string[]
}

export async function outOfMemory(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  const device = limited(name)
  await using model = await SwinTransformer.create({ ...NETWORK, device: name as 'cpu' })
  await using trainer = await BackpropTrainer.create(model)
  const [small, large, huge] = [2, BATCH, UPLOADED].map((count) => batchOf(count, SIZE))
  const step = (batch: typeof small) => trainer.step(batch as never, { learningRate: 1e-4 })
  await step(small)
  memory.emptyCache(name)
  const resident = memory.allocated(name)
  const least = device.taken()
  memory.resetPeakStats(name)
  await step(large)
  const most = device.peak()
  const failures: Failure[] = []
  const attempt = async (limit: number, work: () => Promise<unknown>, where?: string) => {
    memory.emptyCache(name)
    device.limit(limit)
    const error = await work().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    device.limit(undefined)
    if (error === undefined) return
    const back = memory.allocated(name)
    const kept = back === resident ? [] : [`${back - resident} bytes are not given back`]
    const facts = factsOf(error)
    failures.push({
      ...{ where: where ?? facts.phase, limitBytes: limit, message: facts.message },
      problems: [...problemsOf(facts, limit), ...kept],
    })
  }
  await attempt(least + 2 * MIB, () => model.evaluate(huge as never), 'upload')
  for (let i = 1; i <= LIMITS; i++) {
    await attempt(least + ((most - least) * i) / (LIMITS + 1), () => step(large))
  }
  const again = await step(large).then(
    () => [],
    (error: unknown) => [`the next step fails: ${factsOf(error).message}`],
  )
  const counts = countsOf(failures)
  const missed = ['upload', 'forward', 'backward'].filter((where) => !(where in counts))
  const complaints = [
    ...missed.map((where) => `nothing failed at ${where}`),
    ...failures.flatMap(({ where, problems }) => problems.map((problem) => `${where}: ${problem}`)),
    ...again,
  ]
  const text = Object.entries(counts).map(([where, count]) => `${count} at ${where}`)
  const summary = `${text.join(', ')}: coded, with numbers, memory given back; the next step works`
  return judged([...new Set(complaints)], summary, { residentBytes: resident, failures })
}

/** How the memory of a device is limited and read: of CUDA what is reserved, on the CPU tensors. */
function limited(name: string) {
  if (name === 'cpu') {
    return {
      limit: (bytes: number | undefined) => memory.setLimit(bytes && Math.floor(bytes)),
      taken: () => memory.allocated(name),
      peak: () => memory.maxAllocated(name),
    }
  }
  const index = Number(name.slice('cuda:'.length))
  const { totalBytes } = memGetInfo(index)
  return {
    limit: (bytes: number | undefined) =>
      setPerProcessMemoryFraction(bytes === undefined ? 1 : bytes / totalBytes, index),
    taken: () => memory.reserved(name),
    peak: () => memory.maxReserved(name),
  }
}

export interface OutOfMemoryFacts {
  readonly code: string | undefined
  readonly message: string
  readonly phase: string
  readonly requestedBytes: number
  readonly allocatedBytes: number
  readonly limitBytes: number
}

export function factsOf(error: unknown): OutOfMemoryFacts {
  const facts = error as Partial<OutOfMemoryFacts>
  return {
    code: error instanceof LocalformerError ? error.code : undefined,
    message: error instanceof Error ? error.message : String(error),
    phase: facts.phase || 'upload',
    requestedBytes: facts.requestedBytes ?? 0,
    allocatedBytes: facts.allocatedBytes ?? 0,
    limitBytes: facts.limitBytes ?? 0,
  }
}

/** What is wrong with an error of memory under a limit. */
export function problemsOf(facts: OutOfMemoryFacts, limit: number): string[] {
  if (facts.code !== 'ERR_OUT_OF_MEMORY') return [`${facts.code ?? 'no code'}: ${facts.message}`]
  return [
    ...(facts.requestedBytes > 0 ? [] : ['what was asked for is not told']),
    ...(facts.allocatedBytes > 0 ? [] : ['what is allocated is not told']),
    ...(Math.abs(facts.limitBytes - limit) < MIB
      ? []
      : [`a limit of ${facts.limitBytes} bytes is told, ${Math.round(limit)} was set`]),
  ]
}

function countsOf(failures: readonly Failure[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { where } of failures) counts[where] = (counts[where] ?? 0) + 1
  return counts
}
