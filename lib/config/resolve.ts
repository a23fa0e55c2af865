// Layers of a configuration -> the whole one: defaults, then a preset, a file, flags. What the schema
// cannot tell, whether the parts go together, is checked here too, without LibTorch.

import { definedOf, readArgument } from '../base/validate.js'
import type { DeviceName } from '../device/device.js'
import { modulesOfSpec, parseRunSpec, type RunSpec } from '../local/run-spec.js'
import { resolveSplit } from '../local/splits.js'
import { resolveSwinConfig, type SwinConfig, type SwinOptions } from '../local/swin-transformer.js'
import type { PresetName } from './preset-names.js'
import { PRESETS } from './presets.js'
import {
  attempt,
  configError,
  type Path,
  type PlaceOf,
  type Problem,
  readWith,
} from './problems.js'
import {
  configSchema,
  fileSchema,
  type TrainingConfig,
  type TrainingConfigInput,
} from './schema.js'

/** A whole configuration with what its parts came to, each worked out once. */
export class ResolvedConfig {
  readonly config: TrainingConfig
  readonly spec: RunSpec
  /** But for the classes, which the data has. */
  readonly network: SwinConfig & { readonly device: DeviceName }

  constructor(config: TrainingConfig, spec: RunSpec, network: ResolvedConfig['network']) {
    this.config = config
    this.spec = spec
    this.network = network
  }
}

/**
 * The whole configuration of a training run from what is written of it, over its preset where it
 * names one. Lists replace lists; sections are merged.
 *
 * ```ts
 * const config = resolveConfig({ preset: 'trial', run: 'greedy:4', training: { epochs: 5 } })
 * ```
 *
 * @throws {LocalformerError} `ERR_CONFIG` with every problem; each is in the error's `problems` as
 *   `{ path, message, hint, place }`.
 */
export function resolveConfig(config: TrainingConfigInput = {}): TrainingConfig {
  return resolveInput(config).config
}

/** The same with what its parts came to. */
export function resolveInput(config: TrainingConfigInput): ResolvedConfig {
  checkInput(config, 'the configuration')
  return resolveLayers([config])
}

/** @throws {LocalformerError} `ERR_CONFIG` where a layer holds what no configuration can. */
export function checkInput(
  config: unknown,
  subject: string,
  placeOf?: PlaceOf,
): asserts config is TrainingConfigInput {
  const problems: Problem[] = []
  readWith(fileSchema(), config, problems)
  const run = readArgument(subject, () => (config as Fields | null | undefined)?.run)
  if (typeof run === 'string') attempt(problems, ['run'], () => parseRunSpec(run))
  if (problems.length > 0) throw configError(problems, subject, placeOf)
}

/**
 * @param layers From the lowest; the last preset that one names stands below all of them.
 * @param change Of the merged configuration, before it is checked.
 */
export function resolveLayers(
  layers: readonly TrainingConfigInput[],
  placeOf?: PlaceOf,
  change: (merged: Fields) => Fields = (merged) => merged,
): ResolvedConfig {
  const { $schema: _, preset, ...written } = layers.reduce<Fields>(merge, {})
  const recipe = preset === undefined ? {} : PRESETS[preset as PresetName].config
  const merged = change(merge(recipe as Fields, written))
  const problems: Problem[] = []
  const config = readWith(configSchema(), merged, problems)
  const resolved = config && resolveParts(config, problems)
  if (resolved !== undefined && problems.length === 0) return resolved
  throw configError(problems, 'the configuration', placeOf)
}

function resolveParts(config: TrainingConfig, problems: Problem[]): ResolvedConfig | undefined {
  const network = attempt(problems, ['model'], () => resolveSwinConfig(swinOptionsOf(config)))
  const spec = attempt(problems, ['run'], () => parseRunSpec(config.run))
  if (network === undefined || spec === undefined) return undefined
  checkTogether(config, spec, network, problems)
  return new ResolvedConfig(config, spec, network)
}

export type Fields = Readonly<Record<string, unknown>>

/** Both, where both are checked: only known names, so none that means something to JavaScript. */
function merge(below: Fields, above: Fields): Fields {
  const merged: Record<string, unknown> = { ...below }
  for (const [name, value] of Object.entries(above)) {
    if (value === undefined) continue
    const under = merged[name]
    merged[name] = isFields(value) && isFields(under) ? merge(under, value) : value
  }
  return merged
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Parts of a configuration that are right by themselves and not together. */
function checkTogether(
  config: TrainingConfig,
  spec: RunSpec,
  { depths }: SwinConfig,
  problems: Problem[],
): void {
  const count = modulesOfSpec(spec, depths)
  attempt(problems, ['run'], () => resolveSplit(spec.split, count, depths))
  const { learningRate } = config.training
  const modules = config.modules ?? []
  const refuse = (path: Path, message: string) => problems.push({ path, message })
  if (typeof learningRate !== 'number' && learningRate.length !== count) {
    refuse(
      ['training', 'learningRate'],
      `Expected a number, or a list of ${count}, one a module of ${spec.text}, for ` +
        `\`training.learningRate\` but received a list of ${learningRate.length}`,
    )
  }
  if (modules.length > count) {
    refuse(
      ['modules'],
      `Expected at most ${count} entries, one a module of ${spec.text}, for \`modules\` but received ${modules.length}`,
    )
  }
  const own = modules.findIndex((module) => module?.learningRate !== undefined)
  if (own >= 0 && typeof learningRate !== 'number') {
    refuse(
      ['modules', own, 'learningRate'],
      `Module ${own + 1} has two learning rates, in \`training.learningRate\` and in \`modules[${own}].learningRate\``,
    )
  }
}

/** Options of the network that a configuration describes, but for the classes, which the data has. */
function swinOptionsOf({ model, seed, device }: TrainingConfig): SwinOptions {
  return { ...definedOf(model), seed, device: device as DeviceName }
}
