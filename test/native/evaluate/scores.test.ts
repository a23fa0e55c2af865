// What the core makes of logits: scikit-learn's figures, ties and numbers that are none. The network
// is one that gives any wanted logits for every image: a classifier with its bias alone.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import { evaluate } from '../../../lib/evaluate/evaluate.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { loadTorch } from '../../../lib/native/load.js'
import { evaluationGolden } from '../../helpers/evaluation-golden.js'
import { atMost, rejects } from '../../helpers/expect.js'
import { byteBatch, floatBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)

const test = suite('scores')
const golden = evaluationGolden()

async function networkOf(classes: number) {
  const model = await SwinTransformer.create({ ...TINY, depths: [1], heads: [1], classes })
  const weight = (await model.readParameters())['head.fc.weight'] as { shape: readonly number[] }
  const data = new Float32Array(classes * (weight.shape[1] as number))
  await model.writeParameters({ 'head.fc.weight': { shape: weight.shape, data } })
  const giving = (logits: readonly number[]) => {
    const bias = { shape: [classes], data: Float32Array.from(logits) }
    return model.writeParameters({ 'head.fc.bias': bias })
  }
  return { model, giving }
}

/** What the classifier says where it gives `logits` for each of `labels`. */
async function scoreOf(logits: readonly number[], labels: readonly number[]) {
  const { model, giving } = await networkOf(logits.length)
  await giving(logits)
  const score = await model.evaluate({ ...floatBatch(labels.length), labels })
  model.dispose()
  return score
}

test('accuracy, top 5 and loss are those of scikit-learn', async () => {
  const { classes, labels } = golden
  const { model, giving } = await networkOf(classes)
  const sums = { lossSum: 0, correct: 0, correctTop5: 0 }
  const predicted: number[] = []
  for (const [image, logits] of golden.logits.entries()) {
    await giving(logits)
    const score = await model.evaluate({ ...floatBatch(1), labels: [labels[image] as number] })
    sums.lossSum += score.lossSum
    sums.correct += score.correct
    sums.correctTop5 += score.correctTop5
    predicted.push(...score.predicted)
  }
  assert.equal(predicted, golden.predicted)
  assert.is(sums.correct / labels.length, golden.accuracy)
  assert.is(sums.correctTop5 / labels.length, golden.top5)
  atMost(Math.abs(sums.lossSum / labels.length - golden.loss), 1e-12, 'loss')
  model.dispose()
})

test('every image of a batch counts for itself, and every head', async () => {
  await using model = await SwinTransformer.create({ ...TINY, seed: 3 })
  await using trainer = await LocalTrainer.create(model, { modules: 3 })
  const batch = byteBatch(9)
  const heads = await trainer.predict(batch)
  const scores = await trainer.evaluate(batch)
  assert.is(scores.length, 3)
  heads.forEach(({ data }, k) => {
    let lossSum = 0
    const guesses = Array.from(batch.labels, (label, image) => {
      const row = [...data.subarray(image * TINY.classes, (image + 1) * TINY.classes)]
      lossSum += Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0)) - (row[label] as number)
      return row.indexOf(Math.max(...row))
    })
    assert.equal([...(scores[k]?.predicted ?? [])], guesses, `head ${k}`)
    atMost(Math.abs((scores[k]?.lossSum ?? 0) - lossSum), 1e-9, `loss of head ${k}`)
  })
  assert.equal(await model.evaluate(batch), scores[2])
})

test('of equal logits the lower class is the larger, in the top 5 too', async () => {
  const { predicted, correct, correctTop5 } = await scoreOf(Array(7).fill(0), [0, 4, 5])
  assert.equal([...predicted], [0, 0, 0])
  assert.equal([correct, correctTop5], [1, 2])
})

test('logits that are no numbers are right for no class', async () => {
  const none = await scoreOf(Array(6).fill(Number.NaN), [0, 1])
  assert.equal([none.correct, none.correctTop5, [...none.predicted]], [0, 0, [-1, -1]])
  assert.ok(Number.isNaN(none.lossSum))
  const one = await scoreOf([1, Number.NaN, 0, 0, 0, 0], [0, 1])
  assert.equal([one.correct, one.correctTop5, [...one.predicted]], [0, 1, [-1, -1]])
})

test('large logits do not overflow the loss', async () => {
  assert.is((await scoreOf([3e4, -3e4], [0])).lossSum, 0)
})

test('images without logits that are numbers are in no column of the confusion', async () => {
  const { model, giving } = await networkOf(6)
  await giving(Array(6).fill(Number.NaN))
  const { test: split } = syntheticDataset({ testCount: 12, classes: 6 })
  const { confusion, accuracy, loss } = await evaluate(model, split)
  assert.equal(confusion?.flat(), Array(36).fill(0))
  assert.is(accuracy, 0)
  assert.ok(Number.isNaN(loss))
  model.dispose()
})

test('a label that is no class is refused', async () => {
  await using model = await SwinTransformer.create(TINY)
  const part = { images: new Uint8Array(3 * 16), labels: Uint8Array.of(10), height: 4, width: 4 }
  const classes = Array.from({ length: 11 }, (_, label) => `class ${label}`)
  const data = defineDataset({ name: 'eleven', classes, train: part, test: part, std: [1, 1, 1] })
  await rejects(() => evaluate(model, data.test), 'ERR_DATASET', 'from 0 to 9', '10')
})

test.run()
