// Layers of a configuration -> the whole one: defaults, then a preset, a file, flags. What the schema
// cannot tell, whether the parts go together, is checked here too, without LibTorch.

import { LocalformerError } from '../base/errors.js'
import { definedOf } from '../base/validate.js'
import type { DeviceName } from '../device/device.js'
import { modulesOfSpec, parseRunSpec, type RunSpec } from '../local/run-spec.js'
import { resolveSplit } from '../local/splits.js'
import { resolveSwinConfig, type SwinOptions } from '../local/swin-transformer.js'
import type { PresetName } from './preset-names.js'
import { PRESETS } from './presets.js'
import { configError, type Path, type PlaceOf, type Problem, problemsOf } from './problems.js'
import {
  configSchema,
  fileSchema,
  type TrainingConfig,
  type TrainingConfigInput,
} from './schema.js'

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
  checkInput(config, 'the configuration')
  return resolveLayers([config])
}

/** @throws {LocalformerError} `ERR_CONFIG` where a layer holds what no configuration can. */
export function checkInput(
  config: unknown,
  subject: string,
  placeOf?: PlaceOf,
): asserts config is TrainingConfigInput {
  const problems = problemsOf(fileSchema(), config)
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
): TrainingConfig {
  const { $schema: _, preset, ...written } = layers.reduce<Fields>(merge, {})
  const recipe = preset === undefined ? {} : PRESETS[preset as PresetName].config
  const merged = change(merge(recipe as Fields, written))
  const problems = problemsOf(configSchema(), merged)
  if (problems.length > 0) throw configError(problems, 'the configuration', placeOf)
  const config = configSchema().parse(merged)
  const conflicts = conflictsOf(config)
  if (conflicts.length > 0) throw configError(conflicts, 'the configuration', placeOf)
  return config
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
function conflictsOf(config: TrainingConfig): Problem[] {
  const problems: Problem[] = []
  const attempt = <T>(path: Path, work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof LocalformerError)) throw error
      problems.push({ path, message: error.message, hint: error.hint })
      return undefined
    }
  }
  const network = attempt(['model'], () => resolveSwinConfig(swinOptionsOf(config)))
  const spec = attempt(['run'], () => parseRunSpec(config.run))
  if (network === undefined || spec === undefined) return problems
  const modules = modulesOfSpec(spec, network.depths)
  attempt(['run'], () => resolveSplit(spec.split, modules, network.depths))
  return [...problems, ...modulesConflicts(config, spec, modules)]
}

function modulesConflicts(config: TrainingConfig, spec: RunSpec, count: number): Problem[] {
  const { learningRate } = config.training
  const modules = config.modules ?? []
  const problems: Problem[] = []
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
  return problems
}

/** Options of the network that a configuration describes, but for the classes, which the data has. */
export function swinOptionsOf({ model, seed, device }: TrainingConfig): SwinOptions {
  return { ...definedOf(model), seed, device: device as DeviceName }
}
