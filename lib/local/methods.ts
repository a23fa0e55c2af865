// The methods, presets over one definition (docs/method.md, section 7), and the options of a trainer with
// every default.
import type { z } from 'zod'
import { LocalformerError } from '../base/errors.js'
import { definedOf, lazy, parseOptions, zod } from '../base/validate.js'
import { bareFieldsOf, fieldsOf } from './option-rows.js'
import {
  type LocalOptions,
  OPTIMIZER,
  OPTIONS,
  type OptimizationOptions,
  SHARED,
  type Weight,
} from './options.js'
import type { DecoderKind, Distance, Target } from './words.js'

const localSchema = lazy(() =>
  zod().object({
    ...fieldsOf(OPTIONS),
    perModule: zod()
      .array(zod().strictObject(bareFieldsOf(OPTIMIZER)).partial().nullable(), {
        error: 'a list of optimizers, one a module',
      })
      .optional(),
  }),
)
const backpropSchema = lazy(() => zod().object(fieldsOf(SHARED)))

type ParsedLocal = z.output<ReturnType<typeof localSchema>>

/** What a method decides, unless an option says otherwise. */
interface Losses {
  readonly target: Target
  readonly decoder: DecoderKind
  readonly distance: Distance
  readonly labelWeight: Weight
  readonly reconstructionWeight: Weight
  readonly penaltyWeight: number
}

/** Options with the defaults of the method filled in. */
export type ResolvedLocalOptions = Omit<ParsedLocal, keyof Losses | 'modules'> &
  Losses & { readonly modules: number }
export type ResolvedOptimization = z.output<ReturnType<typeof backpropSchema>>

const LABELS_ALONE: Losses = {
  target: 'none',
  decoder: 'linear',
  distance: 'mse',
  labelWeight: 1,
  reconstructionWeight: 1,
  penaltyWeight: 0,
}

/** The methods as presets over the one definition. */
function preset(method: ResolvedLocalOptions['method'], modules: number): Losses {
  if (method === 'paper') return { ...LABELS_ALONE, target: 'features' }
  // tau = 10: what TRGL's repository (block-wise/module-wise, README) trains Swin on STL-10 with.
  if (method === 'trgl') return { ...LABELS_ALONE, penaltyWeight: 1 / (2 * 10) }
  if (method === 'greedy') return LABELS_ALONE
  // The weights that InfoPro's repository (blackfeather-wang/InfoPro-Pytorch, comand.sh) gives for
  // ResNet-32 on CIFAR-10.
  return {
    target: 'image',
    decoder: 'infopro',
    distance: 'bce',
    labelWeight: modules > 2 ? [0, 2] : 1,
    reconstructionWeight: modules > 2 ? [6, 1] : 5,
    penaltyWeight: 0,
  }
}

/** @throws {LocalformerError} `ERR_CONFIG`, for combinations that cannot be, too. */
export function resolveLocalOptions(options: LocalOptions = {}): ResolvedLocalOptions {
  const { modules: asked, ...o } = parseOptions(localSchema(), options)
  const modules = asked ?? (typeof o.split === 'string' ? 4 : o.split.length + 1)
  const losses = preset(o.method, modules)
  const target = o.target ?? losses.target
  const { decoder, distance } = target === losses.target ? losses : LABELS_ALONE
  const resolved = {
    ...losses,
    decoder,
    distance,
    ...definedOf(o),
    target,
    modules,
  } as ResolvedLocalOptions
  checkDistance(resolved)
  return resolved
}

function checkDistance({ target, distance }: ResolvedLocalOptions): void {
  if (distance !== 'bce' || target !== 'features') return
  throw new LocalformerError('ERR_CONFIG', 'Distance `bce` compares pixels, not features', {
    hint: 'Use distance mse or l1, or target image.',
  })
}

/** @throws {LocalformerError} `ERR_CONFIG` */
export function resolveBackpropOptions(options: OptimizationOptions = {}): ResolvedOptimization {
  return parseOptions(backpropSchema(), options)
}

/** A weight of each of `modules` modules; the last one has its classifier's loss alone. */
export function weightsOf(value: Weight, modules: number): number[] {
  const [first, last] = typeof value === 'number' ? [value, value] : value
  // InfoPro's schedule: over the modules that have auxiliary losses.
  const share = (k: number) => (modules > 2 ? Math.min(1, k / (modules - 2)) : 0)
  return Array.from({ length: modules }, (_, k) => first + (last - first) * share(k))
}
