// Which configurations are worth trying for a memory: every sensible way to train a network on one device.
import { changeRun, type RunParts } from '../config/run-parts.js'
import { SPEC_KEYS } from '../local/run-spec.js'

/** Ways to cut, from none on: more modules take less memory and learn less alike. */
const CUTS: readonly RunParts[] = [
  { method: 'backprop' },
  { modules: '2', split: 'balanced' },
  { modules: '4', split: 'balanced' },
  { modules: '8', split: 'balanced' },
]
const RECOMPUTE = ['none', 'selective', 'block']
const DTYPES = ['float32', 'bfloat16']
/** Micro-batches, where nothing else is enough. */
const ACCUMULATE = ['2', '4', '8', '16', '32', '64']

/** A configuration, and what to try in its place where it does not fit, one after the other. */
export interface Candidate {
  readonly run: string
  readonly else: readonly string[]
}

export interface CandidateOptions {
  /** A run spec whose method and given parts stay. */
  readonly fixed: RunParts
  readonly batchSize: number
  /** Blocks of the network: no more modules than these. */
  readonly units: number
  readonly hasBfloat16: boolean
  /** Has the device a memory of its own? Then what is not at work may wait on the host. */
  readonly canOffload: boolean
}

/** Run specs to try, the cheapest in time of their kind first. */
export function candidatesFor({
  fixed,
  batchSize,
  units,
  hasBfloat16,
  canOffload,
}: CandidateOptions): readonly Candidate[] {
  const method = fixed.method ?? 'paper'
  // Parts that end-to-end training does not know, and cuts that say themselves how many modules they make.
  const isLocalOnly = Object.keys(fixed).some(
    (part) => part === 'modules' || (part !== 'method' && SPEC_KEYS[part]?.isShared !== true),
  )
  const isCut = fixed.split !== undefined && !['stages', 'balanced', 'timed'].includes(fixed.split)
  const cuts = CUTS.filter((cut) => {
    if (fixed.method !== undefined && (cut.method === 'backprop') !== (method === 'backprop')) {
      return false
    }
    return cut.method === 'backprop' ? !isLocalOnly : Number(cut.modules) <= units
  })
  const kinds = cuts.flatMap((cut) => {
    const own: RunParts = cut.method !== undefined ? cut : isCut ? { method } : { method, ...cut }
    return DTYPES.filter((dtype) => dtype === 'float32' || hasBfloat16).flatMap((dtype) =>
      RECOMPUTE.map((recompute) => ({ ...own, dtype, recompute })),
    )
  })
  const written = kinds.map((parts) => ({
    parts: { ...parts, ...fixed },
    text: specOf(parts, fixed),
  }))
  const seen = new Set<string>()
  return written.flatMap(({ parts, text }) => {
    if (seen.has(text)) return []
    seen.add(text)
    return [{ run: text, else: instead(parts, { batchSize, canOffload, fixed }) }]
  })
}

/** Micro-batches, then, of modules, the others on the host. */
function instead(
  parts: RunParts,
  { batchSize, canOffload, fixed }: Pick<CandidateOptions, 'batchSize' | 'canOffload' | 'fixed'>,
): string[] {
  const counts = fixed.accumulate === undefined ? ACCUMULATE : []
  const smaller = counts
    .filter((count) => Number(count) <= batchSize)
    .map((accumulate) => specOf({ ...parts, accumulate }, fixed))
  const isLocal = parts.method !== 'backprop'
  const offloads =
    canOffload && isLocal && fixed.offload === undefined && parts.recompute === 'block'
  if (!offloads) return smaller
  return [specOf({ ...parts, offload: 'modules' }, fixed), ...smaller]
}

/** The parts as a run spec; what a spec has anyway is left out. */
function specOf(parts: RunParts, fixed: RunParts): string {
  const { method = 'paper', ...rest } = { ...parts, ...fixed }
  const keys = Object.entries(rest).filter(
    ([key, value]) => !(key === 'dtype' && value === 'float32' && fixed.dtype === undefined),
  )
  return changeRun(method, Object.fromEntries(keys))
}
