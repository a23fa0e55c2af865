// `balanced` against `stages`, and on the micro network against every way to cut it, each measured in a
// step: `node dist/test/bench/balance.js [exhaustive|table]`. Exit code 1 where it is above `stages`, or more
// than 3 % above the best.
import { argv } from 'node:process'
import type { LocalOptions } from '../../lib/local/options.js'
import { type SwinOptions, VARIANTS } from '../../lib/local/swin-transformer.js'
import { everyCut, stepPeak } from '../helpers/step-peak.js'

const MIB = 2 ** 20
const PARTS: readonly LocalOptions[] = [
  { method: 'paper' },
  { method: 'paper', decoder: 'conv' },
  { method: 'paper', decoder: 'transformer' },
  { method: 'infopro' },
  { method: 'greedy', head: 'mlp' },
  { method: 'greedy', head: 'transformer' },
  { method: 'greedy', head: 'later-stages' },
  { method: 'trgl', optimizer: 'sgd' },
  { method: 'paper', recompute: 'selective' },
  { method: 'paper', recompute: 'block' },
  { method: 'paper', decoder: 'conv', recompute: 'block', dtype: 'bfloat16' },
  { method: 'paper', accumulate: 2 },
]
const text = (options: object) => Object.values(options).join(' ')
let isWrong = false

async function exhaustive(): Promise<void> {
  const micro: SwinOptions = { variant: 'micro', imageSize: 32 }
  console.log('parts | K | batch | balanced, MiB | best, MiB | above, % | cuts')
  for (const options of PARTS) {
    for (const modules of [2, 3, 4]) {
      for (const batch of [8, 64]) {
        const own = await stepPeak(micro, { ...options, modules, split: 'balanced' }, batch)
        let best = Number.POSITIVE_INFINITY
        for (const split of everyCut(VARIANTS.micro.depths, modules)) {
          best = Math.min(best, (await stepPeak(micro, { ...options, split }, batch)).bytes)
        }
        const above = (own.bytes / best - 1) * 100
        if (above > 3) isWrong = true
        const sizes = [own.bytes, best].map((bytes) => (bytes / MIB).toFixed(1)).join(' | ')
        const cuts = own.cuts.join('+')
        console.log(
          `${text(options)} | ${modules} | ${batch} | ${sizes} | ${above.toFixed(1)} | ${cuts}`,
        )
      }
    }
  }
}

async function table(): Promise<void> {
  const networks: readonly [SwinOptions, number][] = [
    [{ variant: 'micro', imageSize: 32 }, 64],
    [{ variant: 'micro', imageSize: 64 }, 8],
    [{ variant: 'tiny', imageSize: 32 }, 8],
    [{ variant: 'tiny', imageSize: 32 }, 64],
    [{ variant: 'tiny', imageSize: 96 }, 16],
    [{ variant: 'small', imageSize: 32 }, 32],
    [{ variant: 'base', imageSize: 32 }, 16],
    [{ variant: 'tiny', imageSize: 224 }, 16],
  ]
  console.log('network | batch | parts | K | stages, MiB | balanced, MiB | below, %')
  for (const [network, batch] of networks) {
    const isLarge = network.imageSize === 224 || network.variant === 'base'
    for (const options of isLarge ? PARTS.slice(0, 3) : PARTS) {
      // One whose decoder takes gigabytes at such sizes.
      if (options.method === 'infopro' && network.imageSize !== 32) continue
      for (const modules of [2, 4]) {
        const stages = await stepPeak(network, { ...options, modules, split: 'stages' }, batch)
        const own = await stepPeak(network, { ...options, modules, split: 'balanced' }, batch)
        if (own.bytes > stages.bytes) isWrong = true
        const below = (1 - own.bytes / stages.bytes) * 100
        const sizes = [stages, own].map(({ bytes }) => (bytes / MIB).toFixed(1)).join(' | ')
        const name = `${network.variant} ${network.imageSize} px`
        console.log(
          `${name} | ${batch} | ${text(options)} | ${modules} | ${sizes} | ${below.toFixed(1)}`,
        )
      }
    }
  }
}

if (argv[2] !== 'table') await exhaustive()
if (argv[2] !== 'exhaustive') await table()
process.exitCode = isWrong ? 1 : 0
