// How the ranks of a process group share the work of a trainer: each batch, the modules, or both.
import { expected, LocalformerError } from '../base/errors.js'
import { integer, lazy, oneOf, parseOptions, zod } from '../base/validate.js'
import { DTYPES, type Dtype } from './words.js'

/**
 * - `data`: every rank has all modules and its share of each batch; the gradients of a module are added
 *   up while the next one runs forward.
 * - `modules`: every rank has some modules and all of each batch; features go from rank to rank, and
 *   nothing comes back.
 */
export const PARALLEL = ['data', 'modules'] as const
export type Parallel = (typeof PARALLEL)[number]

export interface ParallelOptions {
  /** Default `data`. */
  readonly parallel?: Parallel
  /**
   * With `modules`: groups of ranks that have the same modules, 1 to the number of modules, a divisor of
   * the number of ranks; default: one a rank. With fewer, those of a stage share each batch.
   */
  readonly stages?: number
  /**
   * With `modules`: batches that a stage may be ahead of the next one, at least 0; default 1. Each takes
   * the memory of the features handed on. No number changes what is learned.
   */
  readonly inFlight?: number
  /** With `modules`: what features travel in; default `float32`. `bfloat16` is half as much, and rounds. */
  readonly features?: Dtype
}

const schema = lazy(() =>
  zod().object({
    parallel: oneOf(PARALLEL).default('data'),
    stages: integer(1).optional(),
    inFlight: integer(0, 64).default(1),
    features: oneOf(DTYPES).default('float32'),
  }),
)

/** One rank's part. Ranks are numbered stage by stage. */
export interface Division {
  readonly stage: number
  readonly stages: number
  /** Among the ranks that share a batch. */
  readonly replica: number
  readonly replicas: number
  /** The modules that are here: [first, last). */
  readonly first: number
  readonly last: number
  /** Index behind the last module of each stage. */
  readonly stageEnds: readonly number[]
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveParallel(
  options: ParallelOptions,
  { modules, worldSize }: { readonly modules: number; readonly worldSize: number },
) {
  const {
    parallel,
    stages = parallel === 'data' ? 1 : worldSize,
    ...rest
  } = parseOptions(schema(), options)
  if (parallel === 'data' && stages !== 1) {
    throw new LocalformerError('ERR_CONFIG', expected('1 with parallel `data`', 'stages', stages), {
      hint: 'Stages have different modules: parallel `modules`.',
    })
  }
  if (stages > modules) {
    const fitting = largestDivisor(worldSize, modules)
    const shared = fitting === 1 ? 'parallel: data' : `stages: ${fitting}`
    throw new LocalformerError(
      'ERR_CONFIG',
      `${worldSize} ranks in ${stages} stages are more than the ${modules} modules there are`,
      {
        hint:
          `Start at most ${modules} ranks, let several share each batch (${shared}), ` +
          'or cut the network into more modules.',
      },
    )
  }
  if (worldSize % stages !== 0) {
    throw new LocalformerError(
      'ERR_CONFIG',
      expected(`a divisor of the ${worldSize} ranks`, 'stages', stages),
    )
  }
  return { parallel, stages, ...rest }
}

/** Of a number, no larger than `most`. */
function largestDivisor(of: number, most: number): number {
  let divisor = Math.min(of, most)
  while (of % divisor !== 0) divisor--
  return divisor
}

/** The part of a rank among stages that end behind these modules. */
export function divisionOf(
  stageEnds: readonly number[],
  { rank, worldSize }: { readonly rank: number; readonly worldSize: number },
): Division {
  const stages = stageEnds.length
  const replicas = worldSize / stages
  const stage = Math.floor(rank / replicas)
  return {
    ...{ stage, stages, replica: rank % replicas, replicas, stageEnds },
    first: stageEnds[stage - 1] ?? 0,
    last: stageEnds[stage] as number,
  }
}
