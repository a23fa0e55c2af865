// What `doctor` runs in a child process, so that a crash while libraries are opened is a line of its
// report: loads the addon stage by stage and prints one JSON line before and after each.
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { LocalformerError } from '../base/errors.js'
import { getDeviceProperties } from '../device/cuda.js'
import { cudaDeviceCount, whyNoCuda } from '../device/device.js'
import type { Flavor } from '../libtorch/manifest.js'
import { findAddon, loadAll, nvidiaDevice } from '../native/load.js'

/** What a stage found; the names are those of {@link ProbeResult}. */
interface Findings {
  readonly loader: { readonly folder: string }
  readonly torch: {
    readonly libtorch: string
    readonly cpuCapability: string
    readonly flavor: Flavor
    readonly threads: number
  }
  readonly devices: {
    readonly cuda: readonly {
      readonly name: string
      readonly totalMemoryBytes: number
      readonly major: number
      readonly minor: number
    }[]
    /** Why there is none. */
    readonly reason: string | null
    /** Is there a driver? */
    readonly driver: boolean
  }
}

export type ProbeStage = keyof Findings

/** The stages that were reached: what each found, or how it failed. A crash leaves `undefined`. */
export type ProbeResult = {
  readonly [Stage in ProbeStage]?: Findings[Stage] | ProbeFailure | undefined
}

export interface ProbeFailure {
  readonly failed: string
  readonly hint: string | null
}

/** A line of the probe's standard output. */
export type ProbeLine =
  | { readonly stage: ProbeStage; readonly begins: true }
  | { readonly stage: ProbeStage; readonly result: Findings[ProbeStage] | ProbeFailure }

const stages: { readonly [Stage in ProbeStage]: () => Findings[Stage] } = {
  loader() {
    const folder = findAddon()
    createRequire(import.meta.url)(path.join(folder, 'localformer.node'))
    return { folder }
  },
  torch() {
    const { torch, location } = loadAll()
    const { libtorch, cpuCapability } = torch.versions()
    return { libtorch, cpuCapability, flavor: location.flavor, threads: torch.threads() }
  },
  devices() {
    const count = cudaDeviceCount()
    const cuda = Array.from({ length: count }, (_, index) => getDeviceProperties(index))
    const driver = nvidiaDevice() !== undefined
    return { cuda, reason: count === 0 ? whyNoCuda() : null, driver }
  },
}

function print(line: ProbeLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function probe(): void {
  for (const stage of Object.keys(stages) as ProbeStage[]) {
    print({ stage, begins: true })
    try {
      print({ stage, result: stages[stage]() })
    } catch (error) {
      const failed = error instanceof Error ? error.message : String(error)
      const hint = error instanceof LocalformerError ? (error.hint ?? null) : null
      print({ stage, result: { failed, hint } })
      return
    }
  }
}

probe()
