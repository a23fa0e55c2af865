// One configuration on one device: does it fit, what does it take, and which is the largest batch?
import type { ResolvedConfig } from '../config/resolve.js'
import { pinSplit } from '../local/run-spec.js'
import type { Method } from '../local/words.js'
import type { DryRunMeasurement, DryRunRequest, DryRunResult, PlannedModule } from './dry-run.js'
import type { DryRunner } from './dry-runner.js'
import { largestBatch, type Tried } from './largest-batch.js'
import { requestOf } from './request.js'
import { costsOfCard, stepSecondsOf, type UnitCosts } from './step-time.js'
import { limitsOf, type PlanTarget, roomOf } from './target.js'

/** `tight`: a step runs, with less room left than a context, a driver or a desktop may differ by. */
export type Verdict = 'fits' | 'tight' | 'does not fit'

/** Between steps, bytes. */
export interface ResidentBytes {
  readonly all: number
  readonly weights: number
  /** What the optimizers keep, with the weights of heads and decoders. */
  readonly optimizer: number
  /** Of the averaged weights. */
  readonly average: number
  /** What cuBLAS keeps for itself. */
  readonly workspaces: number
}

export interface PlanRow {
  readonly spec: string
  readonly method: Method
  /** `exact`: the gradients of end-to-end training, but for rounding; `local`: those of local losses. */
  readonly gradients: 'exact' | 'local'
  readonly batchSize: number
  /** Name of the card, or CPU. */
  readonly target: string
  /** `sim:rtx3060` or `cpu`. */
  readonly device: string
  readonly verdict: Verdict
  /** Who asks for what there is no room for; null where it fits, or where not even the weights do. */
  readonly failsIn: { readonly module: string | null; readonly phase: string | null } | null
  /** Of the device, or the limit. */
  readonly totalBytes: number
  /** Of these, what is taken beside tensors: context, or this process on the CPU. An estimate on a card. */
  readonly contextBytes: number
  /** Kept free for a verdict of `fits`, beside `error`. */
  readonly reserveBytes: number
  /** Worst relative error of a peak, as far as it is known. */
  readonly error: number
  /** Null where it does not fit; so are all below but `largestBatch`. */
  readonly peakAllocatedBytes: number | null
  /** Taken from the device, fragmentation included. */
  readonly peakReservedBytes: number | null
  /** With the context. */
  readonly peakWithContextBytes: number | null
  /** What is left of the total. */
  readonly marginBytes: number | null
  readonly resident: ResidentBytes | null
  readonly modules: readonly PlannedModule[]
  /** It calls cuDNN, whose workspaces are not known: at least so much. */
  readonly isLowerBound: boolean
  /** `safe`: of a verdict `fits`; `possible`: of `tight`. Null where it was not looked for. */
  readonly largestBatch: { readonly safe: number; readonly possible: number } | null
  /** An estimate, for comparing rows; null where it cannot be told. */
  readonly stepSeconds: number | null
  /** Products of a step, 2 m n k each. */
  readonly operations: number | null
}

/** What is planned. */
export interface PlanSubject {
  readonly config: ResolvedConfig
  readonly classes: number
  readonly target: PlanTarget
}

/** One configuration on one device. */
export async function planRow(
  runner: DryRunner,
  { config, classes, target }: PlanSubject,
  options: {
    readonly largestBatch?: boolean
    /** No larger batch is tried. */
    readonly mostImages?: number
    readonly signal?: AbortSignal
    readonly costs?: UnitCosts
    readonly tell?: (tried: number) => void
  } = {},
): Promise<PlanRow> {
  const room = roomOf(target, runner)
  const limits = limitsOf(room)
  const { batchSize } = config.config.training
  let count = 0
  const attempt = async (changes: Partial<DryRunRequest>): Promise<DryRunResult> => {
    const result = await runner.run(
      { ...requestOf(config, classes), limitBytes: limits.possible, ...changes },
      options.signal,
    )
    options.tell?.(++count)
    return result
  }
  let result = await attempt({})
  let verdict: Verdict = 'does not fit'
  if (result.status === 'ok') {
    verdict = 'fits'
    if (takenBy(target, result) > limits.safe) {
      const inLess = await attempt({ limitBytes: limits.safe })
      if (inLess.status === 'ok') result = inLess
      else verdict = 'tight'
    }
  }
  const known = { batchSize, result }
  const largest =
    options.largestBatch === false
      ? null
      : await largestOf({ config, target, attempt, mostImages: options.mostImages }, limits, known)
  return rowOf({ config, target, room, verdict, result, largest }, options.costs)
}

/** What is held against a limit: the CPU's bounds what is allocated, a card's what is reserved. */
function takenBy({ device }: PlanTarget, result: DryRunMeasurement): number {
  return device === 'cpu' ? result.peakAllocatedBytes : result.peakReservedBytes
}

/** Images whose pixels are 2 GiB: more are not tried at once. */
const MOST_PIXEL_BYTES = 2 ** 31
const MOST_IMAGES = 65_536
// A try on the CPU touches a part of its memory, on a real card it trains: both take seconds.
const MOST_IMAGES_ON_CPU = 8192
const COARSE = 0.03
// Allocated bytes over reserved ones, where a card is nearly full.
const OF_RESERVED = 0.95

async function largestOf(
  {
    config,
    target,
    attempt,
    mostImages = MOST_IMAGES,
  }: {
    config: ResolvedConfig
    target: PlanTarget
    mostImages: number | undefined
    attempt: (changes: Partial<DryRunRequest>) => Promise<DryRunResult>
  },
  limits: { possible: number; safe: number },
  known: { readonly batchSize: number; readonly result: DryRunResult },
): Promise<{ safe: number; possible: number }> {
  const { imageSize } = config.network
  const isCpu = target.device === 'cpu'
  const images = Math.min(mostImages, isCpu ? MOST_IMAGES_ON_CPU : MOST_IMAGES)
  const tolerance = target.card === undefined ? COARSE : 0
  const most = Math.min(images, Math.floor(MOST_PIXEL_BYTES / (3 * imageSize ** 2)))
  const tried = [known]
  // A balanced split is made for its batch, which takes longer than a step: while the batch is looked for
  // the cuts stay.
  const { result: whole } = known
  const pinned =
    whole.status === 'ok' && config.spec.split === 'balanced'
      ? { run: pinSplit(config.spec, whole.cuts) }
      : {}
  const bytesWithin = async (limitBytes: number, changes: Partial<DryRunRequest>) => {
    const result = await attempt({ ...changes, limitBytes })
    if (result.status !== 'ok') return null
    tried.push({ batchSize: changes.batchSize ?? known.batchSize, result })
    return result.peakAllocatedBytes
  }
  // What a card has reserved when it is nearly full tells little: guesses go by what is allocated.
  const guessed = isCpu ? 1 : OF_RESERVED
  const bytesOfTry = ({ result }: (typeof tried)[number], limit: number) =>
    result.status === 'ok' && takenBy(target, result) <= limit ? result.peakAllocatedBytes : null
  const search = async (limit: number, before: readonly Tried[]) => {
    const options = { limit: limit * guessed, most, tolerance }
    const attemptIn = (changes: Partial<DryRunRequest>) => (batchSize: number) =>
      bytesWithin(limit, { ...changes, batchSize })
    const found = await largestBatch(attemptIn(pinned), { ...options, known: before })
    // What is safe need not be the border.
    if (!('run' in pinned) || found === 0 || isCpu || limit < limits.possible) return found
    // Both sides of the border as they are cut there.
    const own: Tried[] = []
    for (let batchSize = found; batchSize > 0; batchSize -= Math.ceil(batchSize / 100)) {
      const bytes = await bytesWithin(limit, { batchSize })
      own.push({ batchSize, bytes })
      if (bytes !== null) break
    }
    return largestBatch(attemptIn({}), { ...options, known: own, firstStep: 1 })
  }
  const first = { batchSize: known.batchSize, bytes: bytesOfTry(known, limits.possible) }
  const possible = await search(limits.possible, [first])
  if (possible === 0) return { safe: 0, possible }
  // What was tried with more room and took little enough fits into less; of others nothing is known.
  const safe = tried
    .map((one) => ({ batchSize: one.batchSize, bytes: bytesOfTry(one, limits.safe) }))
    .filter(({ bytes }) => bytes !== null)
  if (safe.some(({ batchSize }) => batchSize === possible)) return { safe: possible, possible }
  return { safe: Math.min(await search(limits.safe, safe), possible), possible }
}

function rowOf(
  {
    config,
    target,
    room,
    verdict,
    result,
    largest,
  }: {
    config: ResolvedConfig
    target: PlanTarget
    room: ReturnType<typeof roomOf>
    verdict: Verdict
    result: DryRunResult
    largest: PlanRow['largestBatch']
  },
  costs: UnitCosts | undefined,
): PlanRow {
  const { spec } = config
  const ok = result.status === 'ok' ? result : undefined
  const rates = costs ?? (target.card && costsOfCard(target.card, spec.precision))
  const reserved = ok?.peakReservedBytes ?? null
  const taken = ok === undefined ? null : takenBy(target, ok) + room.contextBytes
  return {
    spec: spec.text,
    method: spec.method,
    gradients: spec.method === 'backprop' ? 'exact' : 'local',
    batchSize: config.config.training.batchSize,
    target: target.name,
    device: target.device,
    verdict,
    failsIn: result.status === 'ok' ? null : { module: result.module, phase: result.phase },
    ...room,
    peakAllocatedBytes: ok?.peakAllocatedBytes ?? null,
    peakReservedBytes: reserved,
    peakWithContextBytes: taken,
    marginBytes: taken === null ? null : room.totalBytes - taken,
    resident:
      ok === undefined
        ? null
        : {
            all: ok.residentBytes,
            weights: ok.weightBytes,
            optimizer: ok.optimizerBytes,
            average: ok.averageBytes,
            workspaces: ok.workspaceBytes,
          },
    modules: ok?.modules ?? [],
    isLowerBound: ok?.isLowerBound ?? false,
    largestBatch: largest,
    stepSeconds: ok === undefined || rates === undefined ? null : stepSecondsOf(ok.work, rates),
    operations: ok === undefined ? null : ok.work.operations.float32 + ok.work.operations.bfloat16,
  }
}
