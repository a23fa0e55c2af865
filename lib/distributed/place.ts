// Who this process is among those that train together: from the variables that torchrun, Slurm and
// Kubernetes' operators set, or a shell.
import { groupVariables } from '../base/environment.js'
import { expected, LocalformerError } from '../base/errors.js'

/** A process among those of a group. */
export interface GroupPlace {
  readonly rank: number
  readonly worldSize: number
  /** Among the processes of this host. */
  readonly localRank: number
  /** Host and port of the store. */
  readonly address: string
  readonly port: number
  /** Is the store rank 0's own, and not that of the agent that started it? */
  readonly hostsStore: boolean
  /** Which start of the group it is. */
  readonly attempt: string
  readonly interface: string | undefined
}

/** torch's default. */
const PORT = 29500
/** A group has no more. */
export const MOST_RANKS = 4096

/** Was this process started as one of several? */
export function isInGroup(): boolean {
  const { rank, worldSize } = groupVariables()
  return rank !== undefined || worldSize !== undefined
}

/** @throws {LocalformerError} `ERR_CONFIG` where the variables do not say it. */
export function groupPlace(): GroupPlace {
  const { rank, worldSize, localRank, address, port, usesAgentStore, ...rest } = groupVariables()
  if (rank === undefined || worldSize === undefined) {
    const [there, missing] = rank === undefined ? ['WORLD_SIZE', 'RANK'] : ['RANK', 'WORLD_SIZE']
    const both = rank === undefined && worldSize === undefined
    throw new LocalformerError(
      'ERR_CONFIG',
      both ? 'RANK and WORLD_SIZE are not set' : `${there} is set and ${missing} is not`,
      {
        hint:
          'Start the processes with torchrun, or set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for ' +
          'each: docs/distributed.md shows how.',
      },
    )
  }
  const count = whole('WORLD_SIZE', worldSize, 1, MOST_RANKS)
  const own = whole('RANK', rank, 0, count - 1)
  return {
    rank: own,
    worldSize: count,
    localRank: whole('LOCAL_RANK', localRank ?? '0', 0, count - 1),
    address: address ?? '127.0.0.1',
    port: whole('MASTER_PORT', port ?? String(PORT), 1, 65_535),
    hostsStore: own === 0 && !usesAgentStore,
    ...rest,
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (value >= least && value <= most) return value
  const what = `a whole number from ${least} to ${most}`
  throw new LocalformerError('ERR_CONFIG', expected(what, name, text))
}
