// What preparing a batch costs beside the step that it is for, and what preparing it ahead saves.
// node dist/test/bench/prepare.js [rounds]: a table; asserts nothing.
import type { Augmentation } from '../../lib/batch/augmentation.js'
import { formatTable } from '../../lib/cli/table.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { byteBatch } from '../helpers/tiny.js'

const COUNT = 128
const ROUNDS = Number(process.argv[2] ?? 5)
const AUGMENTATIONS: Readonly<Record<string, Augmentation>> = {
  none: {},
  'crop, flip': { cropPadding: 4, flip: true },
  'crop, flip, RandAugment(2, 9), erasing, mixup': {
    ...{ cropPadding: 4, flip: true, randAugmentOps: 2, erasing: 0.25, mixup: 0.8 },
  },
}

const seconds = async (work: () => Promise<unknown>) => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}
const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number

await using model = await SwinTransformer.create({
  ...{ variant: 'tiny', imageSize: 32, windowSize: 4, classes: 10 },
})
await using trainer = await LocalTrainer.create(model, { modules: 4, dtype: 'bfloat16' })
const images = byteBatch(COUNT)
await trainer.step(images)

const rows = []
for (const [name, augment] of Object.entries(AUGMENTATIONS)) {
  const batch = { ...images, augment }
  const prepare: number[] = []
  for (let i = 0; i < 20; i++) {
    prepare.push(await seconds(async () => (await trainer.prepare(batch)).dispose()))
  }
  // In turn, so that other work on the machine meets both alike.
  const within: number[] = []
  const ahead: number[] = []
  let next = await trainer.prepare(batch)
  for (let i = 0; i < ROUNDS; i++) {
    within.push(await seconds(() => trainer.step(batch)))
    const current = next
    ahead.push(
      await seconds(async () => {
        const preparing = trainer.prepare(batch)
        const stepping = trainer.step(current)
        current.dispose()
        await stepping
        next = await preparing
      }),
    )
  }
  next.dispose()
  rows.push({ name, prepare, within, ahead })
}

const ms = (value: number) => `${(value * 1000).toFixed(1)} ms`
console.log(
  formatTable(
    ['augmentation', 'prepare, least', 'step with it within, least', 'ahead / within, median'],
    rows.map(({ name, prepare, within, ahead }) => [
      name,
      ms(Math.min(...prepare)),
      ms(Math.min(...within)),
      median(ahead.map((time, i) => time / (within[i] as number))).toFixed(3),
    ]),
  ),
)
console.log(`${COUNT} images of 32 pixels, Swin-Tiny, K=4, bfloat16; ${ROUNDS} rounds in turn`)
