// Out of memory at the upload of a batch and in every phase of a step: a coded error with its numbers,
// all memory given back, and a next step that works.
import { LocalformerError } from '../../base/errors.js'
import type { Batch } from '../../datasets/draw-batches.js'
import { memGetInfo, setPerProcessMemoryFraction } from '../../device/cuda.js'
import * as memory from '../../device/memory.js'
import { parseRunSpec } from '../../local/run-spec.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice } from './subject.js'

// What a phase takes does not matter here, only that it fails: the small network is as good.
const SIZE = 64
const NETWORK = { variant: 'micro', imageSize: SIZE } as const
/** More than what a segment that is kept can have room for. */
const UPLOADED = 1024
/** Limits between what is resident and the step's peak. */
const LIMITS = { whole: 16, quick: 6 } as const
/** Their peaks are where forward ends, inside a chunk, and, of few samples, in backward with its gradients. */
const RUNS = [
  { spec: 'backprop', batch: 128 },
  { spec: 'backprop,recompute=block', batch: 128 },
  { spec: 'backprop,recompute=selective', batch: 8 },
]
const MIB = 2 ** 20

interface Failure {
  readonly spec: string
  /** `upload`, or the phase of the step. */
  readonly where: string
  readonly limitBytes: number
  readonly message: string
  readonly problems: readonly string[]
}

export async function outOfMemory(request: ItemRequest): Promise<Finding> {
  const { name } = openDevice(request.device)
  const failures: Failure[] = []
  const complaints: string[] = []
  for (const run of RUNS) {
    const found = await failuresOf(name, run, LIMITS[request.quick ? 'quick' : 'whole'])
    failures.push(...found.failures)
    complaints.push(...found.complaints)
  }
  const counts = countsOf(failures)
  const missed = ['upload', 'forward', 'backward'].filter((where) => !(where in counts))
  complaints.push(
    ...missed.map((where) => `nothing failed at ${where}`),
    ...failures.flatMap(({ where, problems }) => problems.map((problem) => `${where}: ${problem}`)),
  )
  const text = Object.entries(counts).map(([where, count]) => `${count} at ${where}`)
  const summary = `${text.join(', ')}: coded, with numbers, memory given back; the next step works`
  return judged([...new Set(complaints)], summary, { failures })
}

/** Steps under ever higher limits; under none a step works before and after. */
async function failuresOf(name: string, { spec, batch }: (typeof RUNS)[number], limits: number) {
  const device = limited(name)
  const failures: Failure[] = []
  await using model = await SwinTransformer.create({ ...NETWORK, device: name as 'cpu' })
  await using trainer = await createTrainer(model, parseRunSpec(spec))
  const [small, large, uploaded] = [2, batch, UPLOADED].map((count) => batchOf(count, SIZE))
  const step = (of: Batch | undefined) => trainer.step(of as Batch, { learningRate: 1e-4 })
  await step(small)
  memory.emptyCache(name)
  const resident = memory.allocated(name)
  const least = device.taken()
  memory.resetPeakStats(name)
  await step(large)
  const most = device.peak()
  const attempt = async (limit: number, work: () => Promise<unknown>, where?: string) => {
    memory.emptyCache(name)
    device.limit(limit)
    const failure = await work().then(
      () => undefined,
      (error: unknown) => factsOf(error),
    )
    device.limit(undefined)
    if (failure === undefined) return
    const kept = memory.allocated(name) - resident
    const { message, phase } = failure
    failures.push({
      ...{ spec, where: where ?? phase, limitBytes: limit, message },
      problems: [
        ...problemsOf(failure, limit),
        ...(kept === 0 ? [] : [`${kept} bytes are not given back`]),
      ],
    })
  }
  await attempt(least + 2 * MIB, () => model.evaluate(uploaded as Batch), 'upload')
  for (let i = 1; i <= limits; i++) {
    await attempt(least + ((most - least) * i) / (limits + 1), () => step(large))
  }
  const complaints = await step(large).then(
    () => [],
    (error: unknown) => [`${spec}: the next step fails: ${factsOf(error).message}`],
  )
  return { failures, complaints }
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
