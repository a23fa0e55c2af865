// A command that several processes run at once, as torchrun, Slurm or a shell starts them.
import { LocalformerError } from '../base/errors.js'
import { definedOf } from '../base/validate.js'
import { destroy, init, orAbandon, rank } from '../distributed/group.js'
import { groupPlace, isInGroup } from '../distributed/place.js'
import { PARALLEL, type ParallelOptions } from '../local/parallel.js'
import { DTYPES } from '../local/words.js'
import { type GlobalOptions, note, speakAs } from './command.js'

export interface RankArguments {
  parallel: (typeof PARALLEL)[number] | undefined
  stages: number | undefined
  inFlight: number | undefined
  featureDtype: (typeof DTYPES)[number] | undefined
  joinTimeout: number | undefined
}

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
  'join-timeout': {
    type: 'number',
    requiresArg: true,
    describe: 'Seconds for all ranks to come; default 300',
    group: 'Ranks:',
  },
} as const

/** How the ranks share the work; undefined where there is one process. */
export function parallelOf(options: RankArguments): ParallelOptions | undefined {
  if (!isSeveral()) return undefined
  const { parallel, stages, inFlight, featureDtype } = options
  return definedOf({ parallel, stages, inFlight, features: featureDtype })
}

/** Joins the other ranks for as long as `work` takes; rank 0 alone tells what happens. */
export async function amongRanks(
  options: GlobalOptions & RankArguments,
  work: () => Promise<void>,
): Promise<void> {
  if (!isSeveral()) {
    for (const name of ['parallel', 'stages', 'inFlight', 'featureDtype', 'joinTimeout'] as const) {
      if (options[name] !== undefined) throw alone(name)
    }
    return work()
  }
  const place = groupPlace()
  if (place.rank > 0) Object.assign(options, { quiet: true, json: false })
  speakAs(place.rank)
  note(
    options,
    `Rank 0 of ${place.worldSize} waits for the others at ${place.address}:${place.port}`,
  )
  await init(definedOf({ joinSeconds: options.joinTimeout }))
  await orAbandon(work)
  await destroy()
}

/** Does this rank print? */
export const isTeller = () => rank() === 0

/** One process alone is no group, whoever started it. */
function isSeveral(): boolean {
  return isInGroup() && groupPlace().worldSize > 1
}

function alone(name: string): LocalformerError {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return new LocalformerError(
    'ERR_USAGE',
    `\`--${flag}\` goes with several ranks, and this is one process`,
    {
      hint: 'Start several: torchrun --no-python --nproc-per-node 2 -- npx localformer train ...',
    },
  )
}
