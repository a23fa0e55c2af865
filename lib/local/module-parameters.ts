// Which weights belong to which module.
import type { Parameter } from './swin-transformer.js'
import type { Trainer } from './trainer.js'

/** Of a module: the network's own, and those of its head and decoder. */
export interface ModuleParameters {
  readonly segment: readonly Parameter[]
  readonly auxiliary: readonly Parameter[]
}

export function parametersOfModules(trainer: Trainer): readonly ModuleParameters[] {
  const network = trainer.model.parameters()
  const auxiliary = trainer.auxiliaryParameters()
  let begin = 0
  return trainer.modules.map((module, k) => {
    // The network's parameters stand in the order of its units.
    let left = module.parameterCount
    let end = begin
    while (left > 0) left -= valuesOf(network[end++]?.shape ?? [left])
    const segment = network.slice(begin, end)
    begin = end
    return {
      segment,
      auxiliary: auxiliary.filter(({ name }) => name.startsWith(`auxiliary.${k}.`)),
    }
  })
}

/** Numbers in a tensor. */
export function valuesOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}
