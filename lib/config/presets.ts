// Recipes by name, each with its source. A preset stands above the defaults and below a file.
import type { PresetName } from './preset-names.js'
import type { TrainingConfigInput } from './schema.js'

export interface Preset {
  /** What it is for, as one sentence without its full stop. */
  readonly description: string
  /** Where it is from. */
  readonly source: string
  readonly config: Readonly<TrainingConfigInput>
}

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  // swin-4modules.py: 300 epochs, 20 of them warm-up, a cosine (to a tenth there, to zero here), AdamW,
  // label smoothing, drop path, the four stages as modules. README, the commands for Table 4: batch
  // 1024, learning rate 0.007 (the script's own constant is 0.5), tau = 10, no clipping.
  // dataloaders9.py: CIFAR-10 is padded by reflection, CIFAR-100 and STL-10 (window 6) with zeros.
  trgl: {
    description: "TRGL's recipe for Swin-Tiny, the nearest public one to the paper's",
    source: 'arXiv 2309.17357, its repository block-wise/module-wise (swin-4modules.py, README)',
    config: {
      run: 'trgl:4',
      dataset: { name: 'cifar10' },
      model: { variant: 'tiny', imageSize: 32, patchSize: 4, dropPath: 0.1 },
      optimizer: {
        ...{ name: 'adamw', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.05 },
        labelSmoothing: 0.1,
      },
      training: {
        ...{ epochs: 300, batchSize: 1024, learningRate: 0.007, warmup: 20 / 300 },
        ...{ cropPadding: 4, flip: true },
      },
    },
  },
  // Methods and decoders against each other, at a price that allows many runs.
  trial: {
    description: '5,000 images for 30 epochs, which tells methods apart in an hour on a few cores',
    source: 'ours: the trial with which the methods were first compared',
    config: {
      run: 'paper:4,dtype=bfloat16',
      dataset: { name: 'cifar10', trainLimit: 5000 },
      model: { variant: 'tiny', imageSize: 32, patchSize: 4, windowSize: 4, dropPath: 0.1 },
      optimizer: { name: 'adamw', weightDecay: 0.05, labelSmoothing: 0.1 },
      training: {
        ...{ epochs: 30, batchSize: 128, learningRate: 1e-3, warmup: 0.05, evaluateEvery: 30 },
        ...{ cropPadding: 4, flip: true },
      },
    },
  },
  quick: {
    description: 'Sees that everything works: a few minutes on two cores, no accuracy to speak of',
    source: 'ours',
    config: {
      run: 'paper:4',
      dataset: { name: 'cifar10', trainLimit: 2000, testLimit: 1000 },
      model: { variant: 'tiny', imageSize: 32 },
      training: { epochs: 3, batchSize: 64 },
    },
  },
}
