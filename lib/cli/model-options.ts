// The options that describe a network, shared by every command that builds one.
// in: `yargs.options(modelOptions)` -> out: SwinOptions; what is wrong is told by the facade.
import type { Options } from 'yargs'
import { checkDeviceName } from '../device/device.js'
import { type SwinOptions, VARIANTS, type Variant } from '../local/swin-transformer.js'

const group = 'Network:'

export const modelOptions = {
  variant: {
    choices: Object.keys(VARIANTS) as Variant[],
    default: 'tiny',
    requiresArg: true,
    describe: 'Sizes of the network',
    group,
  },
  'image-size': {
    type: 'number',
    default: 224,
    requiresArg: true,
    describe: "Side of the network's input in pixels, a multiple of the patch size",
    group,
  },
  'patch-size': {
    type: 'number',
    default: 4,
    requiresArg: true,
    describe: 'Side of a patch in pixels',
    group,
  },
  'window-size': {
    type: 'number',
    requiresArg: true,
    defaultDescription: 'the largest of 7, 6, 5, 4, 3, 2 that fits',
    describe: "Side of an attention window in tokens; divides every stage's map",
    group,
  },
  seed: {
    type: 'number',
    default: 0,
    requiresArg: true,
    describe: 'Of the initial weights',
    group,
  },
} as const satisfies Readonly<Record<string, Options>>

/** For commands that read no data set, which says how many there are. */
export const classesOption = {
  classes: {
    type: 'number',
    default: 10,
    requiresArg: true,
    describe: 'Number of classes',
    group,
  },
} as const satisfies Readonly<Record<string, Options>>

/** What a handler finds of {@link modelOptions}. */
export interface ModelArguments {
  variant: Variant
  imageSize: number
  patchSize: number
  windowSize: number | undefined
  seed: number
}

/** Sizes are checked later, where the network is made. */
export function swinOptionsOf(
  argv: ModelArguments & { device: string; classes: number },
): SwinOptions {
  const { variant, imageSize, patchSize, windowSize, classes, device, seed } = argv
  checkDeviceName(device)
  return {
    variant,
    imageSize,
    patchSize,
    ...(windowSize === undefined ? {} : { windowSize }),
    classes,
    device,
    seed,
  }
}
