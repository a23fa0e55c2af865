// How busy a GPU is, as nvidia-smi samples it: in each period, whether any kernel ran.
// NVML's documentation: percent of time over the past sample period, 1/6 s to 1 s by product, during
// which one or more kernels was executing on the GPU.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SMI = 'nvidia-smi'
const FORMAT = '--format=csv,noheader,nounits'
const PERIOD_MS = 250
/** A sample tells of up to a second before it: those until then are of other work. */
const SETTLING_MS = 1200

export class BusySampler {
  readonly #gpu: string | undefined
  /** Why nothing can be sampled; null where it can. */
  readonly reason: string | null

  private constructor(gpu: string | undefined, reason: string | null) {
    this.#gpu = gpu
    this.reason = reason
  }

  /** For the GPU that this process uses: nvidia-smi numbers them in another order than CUDA. */
  static async find(): Promise<BusySampler> {
    try {
      const all = linesOf(
        (await run(SMI, ['--query-gpu=uuid', FORMAT], { timeout: 10_000 })).stdout,
      )
      if (all.length === 1) return new BusySampler(all[0], null)
      const query = ['--query-compute-apps=pid,gpu_uuid', FORMAT]
      const used = linesOf((await run(SMI, query, { timeout: 10_000 })).stdout)
      const gpu = gpuOf(used, process.pid)
      // In a container processes have other numbers.
      if (gpu !== undefined) return new BusySampler(gpu, null)
      return new BusySampler(undefined, `nvidia-smi lists ${all.length} GPUs and not this process`)
    } catch (error) {
      const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
      return new BusySampler(undefined, message)
    }
  }

  /** Samples until it is stopped; undefined where nothing can be sampled. */
  start(): { stop(): Promise<number | null> } | undefined {
    const gpu = this.#gpu
    if (gpu === undefined) return undefined
    const begin = performance.now()
    const shares: number[] = []
    const state = { isOver: false }
    // A call for every sample: whether a lasting one writes at once into a pipe is not said.
    const sampling = (async () => {
      while (!state.isOver) {
        const args = ['--query-gpu=utilization.gpu', FORMAT, '-i', gpu]
        const { stdout } = await run(SMI, args, { timeout: 10_000 })
        if (!state.isOver && performance.now() - begin >= SETTLING_MS) {
          shares.push(...sharesOf(stdout))
        }
        await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
      }
    })().catch(() => undefined)
    return {
      async stop() {
        state.isOver = true
        await sampling
        return shares.length === 0 ? null : shares.reduce((a, b) => a + b, 0) / shares.length
      },
    }
  }
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}

/** The GPU of a process, of lines `pid, uuid`. */
export function gpuOf(lines: readonly string[], pid: number): string | undefined {
  return lines
    .map((line) => line.split(',').map((part) => part.trim()))
    .find(([first]) => first === `${pid}`)?.[1]
}

/** Lines of per cents, in [0, 1]; what is no number (`[N/A]`) is left out. */
export function sharesOf(text: string): number[] {
  return linesOf(text)
    .filter((line) => /^\d+$/.test(line))
    .map((line) => Number(line) / 100)
}
