// What is measured against what: each case by its name, its contenders in the order of its table.
import type { Dtype } from '../../../lib/local/words.js'
import type { Contender, OwnWork, PeerWork, Shape } from './contender.js'

export interface Case {
  readonly name: string
  readonly title: string
  /** Name of the contender that the others are set against. */
  readonly reference: string
  readonly contenders: readonly Contender[]
}

/** glibc's malloc needs four steps until it takes no new pages, whatever it keeps. */
const AT_224: Shape = { imageSize: 224, windowSize: 7, batchSize: 16, warmup: 4, steps: 4 }
const AT_32: Shape = { imageSize: 32, windowSize: 4, batchSize: 128, warmup: 4, steps: 12 }

const EAGER: PeerWork = {
  ...{ program: 'step.py', dtype: 'float32', model: 'timm', variant: 'eager' },
  ...{ workers: 0, keepsPages: false },
}

function own(
  spec: string,
  shape: Shape,
  { name = spec, against, ...work }: Partial<OwnWork> & { name?: string; against?: string } = {},
): Contender {
  return {
    ...{ name, shape, work: { program: 'own-step', spec, ...work } },
    ...(against === undefined ? {} : { against }),
  }
}

function peer(
  name: string,
  shape: Shape,
  { against, ...work }: Partial<PeerWork> & { against?: string },
): Contender {
  return {
    ...{ name, shape, work: { ...EAGER, ...work } },
    ...(against === undefined ? {} : { against }),
  }
}

const specOf = (spec: string, dtype: Dtype) =>
  dtype === 'float32' ? spec : `${spec},dtype=${dtype}`

function endToEnd(name: string, dtype: Dtype): Case {
  const of = (title: string, work: Partial<PeerWork>) => peer(title, AT_224, { dtype, ...work })
  const reference = specOf('backprop', dtype)
  return {
    ...{ name, reference },
    title: `End to end, 224 px, batch 16, ${dtype}`,
    contenders: [
      own(reference, AT_224),
      own(specOf('backprop,recompute=selective', dtype), AT_224),
      of('timm', {}),
      of('timm, malloc keeps pages', { keepsPages: true }),
      of('timm, chosen products, malloc keeps pages', {
        ...{ variant: 'chosen-products', keepsPages: true },
      }),
      of('torchvision', { model: 'torchvision' }),
      of('timm, checkpointing', { variant: 'checkpointing' }),
      of('timm, torch.compile', { variant: 'compile' }),
    ],
  }
}

function small(name: string, dtype: Dtype): Case {
  const reference = specOf('backprop', dtype)
  const loader = (workers: number, keepsPages: boolean) =>
    peer(
      `timm, DataLoader, ${workers} worker${workers === 1 ? '' : 's'}` +
        `${keepsPages ? ', malloc keeps pages' : ''}`,
      AT_32,
      { program: 'loader.py', dtype, workers, keepsPages },
    )
  return {
    ...{ name, reference },
    title: `The whole pipeline with crop and flip, 32 px, batch 128, ${dtype}`,
    contenders: [
      own(reference, AT_32, { program: 'own-train' }),
      ...[loader(0, false), loader(1, false), loader(0, true), loader(1, true)],
      peer('timm, DataLoader, chosen products, malloc keeps pages', AT_32, {
        ...{ program: 'loader.py', dtype, variant: 'chosen-products', keepsPages: true },
      }),
    ],
  }
}

const GROWTH_BATCHES = [8, 16, 32, 64]
const GROWTH_MODULES = [1, 2, 4, 6, 8, 12]

function growth(): Case {
  const few = { ...AT_224, warmup: 1, steps: 2 }
  const ofBatch = (spec: string, batchSize: number) =>
    own(spec, { ...few, batchSize }, { name: `${spec}, batch ${batchSize}` })
  return {
    name: 'growth',
    title: 'Batches of 8 to 64 and 1 to 12 modules, 224 px, float32',
    reference: `backprop, batch ${GROWTH_BATCHES[0]}`,
    contenders: [
      ...['backprop', 'paper:4'].flatMap((spec) =>
        GROWTH_BATCHES.map((batchSize) => ofBatch(spec, batchSize)),
      ),
      ...GROWTH_MODULES.map((modules) => ofBatch(`paper:${modules},split=balanced`, 16)),
    ],
  }
}

function floor(name: string, shape: Shape): Case {
  const dtypes: readonly Dtype[] = ['float32', 'bfloat16']
  const nameOf = (dtype: Dtype) => `floor of the products, ${dtype}`
  return {
    name,
    title: `A step against all its products alone, ${shape.imageSize} px, batch ${shape.batchSize}`,
    reference: nameOf('float32'),
    contenders: dtypes.flatMap((dtype) => {
      const against = nameOf(dtype)
      return [
        peer(against, shape, { program: 'floor.py', dtype, keepsPages: true, against }),
        own(specOf('backprop', dtype), shape, { against }),
        peer(`timm, ${dtype}`, shape, { dtype, against }),
      ]
    }),
  }
}

function timeline(): Case {
  const spec = 'backprop,dtype=bfloat16'
  // Short steps, and many: what is looked for is below one in a hundred.
  const shape = { ...AT_32, steps: 40 }
  const plain = `${spec}, train()`
  return {
    name: 'timeline',
    title: 'What recording memory and keeping events costs, 32 px, batch 128',
    reference: spec,
    contenders: [
      own(spec, shape),
      own(spec, shape, { name: `${spec}, memory timeline`, timeline: true }),
      own(spec, shape, { name: plain, program: 'own-train', against: plain }),
      own(spec, shape, {
        ...{ name: `${spec}, a run with its files`, program: 'own-train', log: true },
        against: plain,
      }),
    ],
  }
}

export const CASES: readonly Case[] = [
  endToEnd('e2e-224-f32', 'float32'),
  endToEnd('e2e-224-bf16', 'bfloat16'),
  small('small-32-f32', 'float32'),
  small('small-32-bf16', 'bfloat16'),
  {
    name: 'paper-4',
    title: 'Local learning against end to end, 224 px, batch 16, float32',
    reference: 'backprop',
    contenders: [
      'backprop',
      'paper:4',
      'paper:4,recompute=selective',
      'paper:4,decoder=transformer',
    ].map((spec) => own(spec, AT_224)),
  },
  {
    name: 'recompute',
    title: 'recompute=block against plain, 224 px, batch 16, float32',
    reference: 'backprop',
    contenders: [
      own('backprop', AT_224),
      own('backprop,recompute=block', AT_224),
      own('paper:4', AT_224, { against: 'paper:4' }),
      own('paper:4,recompute=block', AT_224, { against: 'paper:4' }),
    ],
  },
  growth(),
  floor('floor', AT_224),
  floor('floor-32', AT_32),
  timeline(),
]
