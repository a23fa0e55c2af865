// A command that several processes run at once, as torchrun, Slurm or a shell starts them: one that they
// share, and one that is the work of a single process.
import { LocalformerError } from '../base/errors.js'
import { definedOf } from '../base/validate.js'
import { destroy, init, orAbandon, worldSize } from '../distributed/group.js'
import { groupPlace, isInGroup } from '../distributed/place.js'
import { PARALLEL, type ParallelOptions } from '../local/parallel.js'
import { DTYPES } from '../local/words.js'
import { type GlobalOptions, isTeller, note, speakAs, speakerName } from './command.js'

export interface JoinArguments {
  joinTimeout: number | undefined
}

export interface RankArguments extends JoinArguments {
  parallel: (typeof PARALLEL)[number] | undefined
  stages: number | undefined
  inFlight: number | undefined
  featureDtype: (typeof DTYPES)[number] | undefined
}

/** Of every command that ranks share. */
export const joinOptions = {
  'join-timeout': {
    type: 'number',
    requiresArg: true,
    describe: 'Seconds for all ranks to come; default 300',
    group: 'Ranks:',
  },
} as const

export const rankOptions = {
  parallel: {
    choices: PARALLEL,
    requiresArg: true,
    describe: 'How ranks share the work: each batch (default), or the modules',
    group: 'Ranks:',
  },
  stages: {
    type: 'number',
    requiresArg: true,
    describe: 'With parallel modules: groups of ranks with the same modules; default: one a rank',
    group: 'Ranks:',
  },
  'in-flight': {
    type: 'number',
    requiresArg: true,
    describe: 'With parallel modules: batches that a stage may be ahead of the next; default 1',
    group: 'Ranks:',
  },
  'feature-dtype': {
    choices: DTYPES,
    requiresArg: true,
    describe: 'With parallel modules: what features travel in; default float32',
    group: 'Ranks:',
  },
  ...joinOptions,
} as const

/** How the ranks share a training; undefined where there is one process. */
export function parallelOf(options: RankArguments): ParallelOptions | undefined {
  if (!isSeveral()) return undefined
  const { parallel, stages, inFlight, featureDtype } = options
  return definedOf({ parallel, stages, inFlight, features: featureDtype })
}

/** Joins the other ranks for as long as `work` takes; rank 0 alone tells what happens. */
export async function amongRanks(
  options: GlobalOptions & JoinArguments & Partial<RankArguments>,
  work: () => Promise<void>,
): Promise<void> {
  if (!isSeveral()) {
    for (const name of ['parallel', 'stages', 'inFlight', 'featureDtype', 'joinTimeout'] as const) {
      if (options[name] !== undefined) throw alone(name)
    }
    return work()
  }
  const place = groupPlace()
  if (!isTeller()) options.quiet = true
  note(
    options,
    `Rank 0 of ${place.worldSize} waits for the others at ${place.address}:${place.port}`,
  )
  await init(definedOf({ joinSeconds: options.joinTimeout }))
  await orAbandon(work)
  await destroy()
}

/** Says where ranks have nothing to do, since there are more of them than batches. */
export function tellIdle(options: GlobalOptions, images: number, batchSize: number): void {
  const [count, ranks] = [Math.ceil(images / batchSize), worldSize()]
  if (count >= ranks) return
  const batches = count === 1 ? '1 batch' : `${count} batches`
  note(
    options,
    `${ranks - count} of ${ranks} ranks have nothing to do: ${images} images are ${batches}; a smaller ` +
      '--batch-size gives them some',
  )
}

/** What is there for each host, and so is done once on each. */
const OF_A_HOST = ['doctor', 'dataset fetch', 'libtorch']
const SHARED = ['train', 'evaluate', 'predict']

/** From now on this process speaks as the rank that it was started as, where it is one of several. */
export function takePlace(): void {
  // Variables that are not those of a group are no business of a command that needs none.
  if (isWhole() && isSeveral()) speakAs(groupPlace().rank)
}

/**
 * Is a command of these words another rank's to do? What ranks do not share is done by rank 0, or by the
 * first rank of each host; the others have nothing to do.
 */
export function isOthers(words: readonly unknown[], options: GlobalOptions): boolean {
  const [command, name] = words
  const isOf = (list: readonly string[]) =>
    list.includes(`${command}`) || list.includes(`${command} ${name}`)
  if (isOf(SHARED) || !isWhole() || !isSeveral()) return false
  const { rank, localRank } = groupPlace()
  const isOfHost = isOf(OF_A_HOST)
  if (isOfHost ? localRank === 0 : rank === 0) {
    speakAs(rank, true)
    return false
  }
  const who = isOfHost ? 'the first rank of each host does it' : 'rank 0 does it'
  note(options, `${speakerName()}: nothing to do here; \`${command}\` is not shared, ${who}`)
  return true
}

/** Do the variables name a place in a group? */
function isWhole(): boolean {
  try {
    groupPlace()
    return true
  } catch {
    return false
  }
}

/** One process alone is no group, whoever started it. */
export function isSeveral(): boolean {
  return isInGroup() && groupPlace().worldSize > 1
}

function alone(name: string): LocalformerError {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return new LocalformerError(
    'ERR_USAGE',
    `\`--${flag}\` goes with several ranks, and this is one process`,
    {
      hint: 'Start several: torchrun --no-python --nproc-per-node 2 -- npx localformer ...',
    },
  )
}
