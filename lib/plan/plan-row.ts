// One configuration on one device: does it fit, what does it take, and which is the largest batch?
import type { ResolvedConfig } from '../config/resolve.js'
import type { Method } from '../local/words.js'
import { type Attempt, BatchBorder, type LargestBatch, takenOf } from './batch-border.js'
import type { DryRunResult, PlannedModule } from './dry-run.js'
import type { DryRunner } from './dry-runner.js'
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
  /** Null where it was not looked for. */
  readonly largestBatch: LargestBatch | null
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

export interface PlanRowOptions {
  readonly largestBatch?: boolean
  /** No larger batch is tried. */
  readonly mostImages?: number
  /** Another process for the same target: what is safe is looked for there, beside what is possible. */
  readonly beside?: DryRunner | undefined
  readonly signal?: AbortSignal
  readonly costs?: UnitCosts
  readonly tell?: (tried: number) => void
}

/** One configuration on one device. */
export async function planRow(
  runner: DryRunner,
  { config, classes, target }: PlanSubject,
  options: PlanRowOptions = {},
): Promise<PlanRow> {
  const room = roomOf(target, runner)
  const limits = limitsOf(room)
  const { batchSize } = config.config.training
  let count = 0
  const attempt: Attempt = async (changes, on = runner) => {
    const request = { ...requestOf(config, classes), limitBytes: limits.possible, ...changes }
    const result = await on.run(request, options.signal)
    options.tell?.(++count)
    return result
  }
  const { beside, mostImages } = options
  const border =
    options.largestBatch === false
      ? undefined
      : new BatchBorder({ config, target, limits, attempt, beside, mostImages })
  let [result] = await Promise.all([attempt({}), border?.tryAhead()])
  let verdict: Verdict = 'does not fit'
  if (result.status === 'ok') {
    verdict = 'fits'
    if (takenOf(target, result).reservedBytes > limits.safe) {
      const inLess = await attempt({ limitBytes: limits.safe })
      if (inLess.status === 'ok') result = inLess
      else verdict = 'tight'
    }
  }
  const largest = (await border?.find({ batchSize, result })) ?? null
  return rowOf({ config, target, room, verdict, result, largest }, options.costs)
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
    largest: LargestBatch | null
  },
  costs: UnitCosts | undefined,
): PlanRow {
  const { spec } = config
  const ok = result.status === 'ok' ? result : undefined
  const rates = costs ?? (target.card && costsOfCard(target.card, spec.precision))
  const reserved = ok?.peakReservedBytes ?? null
  const taken = ok === undefined ? null : takenOf(target, ok).reservedBytes + room.contextBytes
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
