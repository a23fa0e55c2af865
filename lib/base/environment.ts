// Every environment variable the package reads, read here and nowhere else.
// Read at the time of the call, so that a script may set one before its first use.
import { homedir } from 'node:os'
import path from 'node:path'

/** The package's cache: `LOCALFORMER_CACHE`, else `$XDG_CACHE_HOME/localformer`, else `~/.cache/localformer`. */
export function cacheDirectory(): string {
  const own = process.env.LOCALFORMER_CACHE
  if (own) return path.resolve(own)
  const xdg = process.env.XDG_CACHE_HOME
  // The XDG base directory specification says to ignore a relative path.
  const base = xdg && path.isAbsolute(xdg) ? xdg : path.join(homedir(), '.cache')
  return path.join(base, 'localformer')
}

/** `LOCALFORMER_OFFLINE=1`: the network is never touched. */
export function isOffline(): boolean {
  return isSet(process.env.LOCALFORMER_OFFLINE)
}

/** `LOCALFORMER_DEBUG=1`: errors carry native backtraces and the command line prints stacks. */
export function isDebug(): boolean {
  return isSet(process.env.LOCALFORMER_DEBUG)
}

/** `LOCALFORMER_LIBTORCH`, a folder with LibTorch as `lib/` and `include/`. */
export function libtorchOverride(): string | undefined {
  return process.env.LOCALFORMER_LIBTORCH || undefined
}

/** `LIBTORCH`, the variable that other LibTorch bindings read. */
export function libtorchShared(): string | undefined {
  return process.env.LIBTORCH || undefined
}

/** `OMP_NUM_THREADS` or `MKL_NUM_THREADS`: how many threads LibTorch takes for an operation. */
export function setsThreads(): boolean {
  return Boolean(process.env.OMP_NUM_THREADS || process.env.MKL_NUM_THREADS)
}

/** The folders of `LD_LIBRARY_PATH`. */
export function librarySearchPath(): readonly string[] {
  return (process.env.LD_LIBRARY_PATH ?? '').split(path.delimiter).filter(Boolean)
}

/**
 * The proxy for a URL, or '' for none: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in
 * small letters too, as curl reads them.
 */
export async function proxyFor(url: string): Promise<string> {
  // Loaded where it is used: only a download needs it.
  const { getProxyForUrl } = await import('proxy-from-env')
  return getProxyForUrl(url)
}

/** `NO_COLOR` (any non-empty value) or a dumb terminal turns colours off. */
export function wantsColor(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
}

/** A continuous-integration run: plain progress lines instead of a live one. */
export function isContinuousIntegration(): boolean {
  return isSet(process.env.CI)
}

/** Who this process is among those that were started with it, as it was written. */
export interface GroupVariables {
  readonly rank: string | undefined
  readonly worldSize: string | undefined
  readonly localRank: string | undefined
  readonly address: string | undefined
  readonly port: string | undefined
  /** The store is hosted by torchrun's agent. */
  readonly usesAgentStore: boolean
  /** Which start of the group it is, where a launcher starts it again. */
  readonly attempt: string
  /** Network interface that tensors take. */
  readonly interface: string | undefined
}

/**
 * `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`, as torchrun and Kubernetes'
 * training operators set them; where Slurm's `srun` started the processes and these are not set, its
 * `SLURM_PROCID`, `SLURM_NTASKS` and `SLURM_LOCALID`. `GLOO_SOCKET_IFNAME` names an interface.
 */
export function groupVariables(): GroupVariables {
  const { env } = process
  // Slurm sets its variables in the shell of a job, too, and there without a place to meet.
  const isSlurm = !env.RANK && !env.WORLD_SIZE && env.SLURM_PROCID && env.MASTER_ADDR
  const [run, count] = [env.TORCHELASTIC_RUN_ID ?? '', env.TORCHELASTIC_RESTART_COUNT ?? '0']
  return {
    rank: (isSlurm ? env.SLURM_PROCID : env.RANK) || undefined,
    worldSize: (isSlurm ? env.SLURM_NTASKS : env.WORLD_SIZE) || undefined,
    localRank: (isSlurm ? env.SLURM_LOCALID : env.LOCAL_RANK) || undefined,
    address: env.MASTER_ADDR || undefined,
    port: env.MASTER_PORT || undefined,
    usesAgentStore: isSet(env.TORCHELASTIC_USE_AGENT_STORE),
    attempt: `${run}/${count}`,
    interface: env.GLOO_SOCKET_IFNAME || undefined,
  }
}

/** That of a process that this one starts, on the same machine, as a rank: nothing of its own place is left. */
export function environmentOfRank(place: {
  readonly rank: number
  readonly worldSize: number
  readonly port: number
}): NodeJS.ProcessEnv {
  const [rank, count, port] = [place.rank, place.worldSize, place.port].map(String)
  return {
    ...process.env,
    ...{ RANK: rank, WORLD_SIZE: count, LOCAL_RANK: rank },
    ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: port },
    // Of an agent, or of a network that this machine's own address is not on.
    ...{ TORCHELASTIC_USE_AGENT_STORE: undefined, TORCHELASTIC_RUN_ID: undefined },
    ...{ TORCHELASTIC_RESTART_COUNT: undefined, GLOO_SOCKET_IFNAME: undefined },
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value.toLowerCase() !== 'false'
}
