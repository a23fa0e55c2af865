// Confusion matrix and class scores against scikit-learn's, what happens at their edges, and how
// they read.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { confusionCsv, formatEvaluation } from '../../../lib/cli/evaluation-text.js'
import type { DetailedEvaluation } from '../../../lib/evaluate/evaluate.js'
import {
  classScores,
  confusionMatrix,
  frequentConfusions,
  largest,
  softmax,
} from '../../../lib/evaluate/scores.js'
import { evaluationGolden } from '../../helpers/evaluation-golden.js'
import { atMost } from '../../helpers/expect.js'

const golden = evaluationGolden()
const { classes, labels } = golden

function near(got: readonly number[], wanted: readonly number[], what: string): void {
  assert.is(got.length, wanted.length, what)
  got.forEach((value, at) => {
    atMost(Math.abs(value - (wanted[at] as number)), 1e-12, `${what} ${at}`)
  })
}

/** An evaluation of these predictions as `evaluate` gives it. */
function evaluation(truth: readonly number[], guesses: readonly number[], count: number) {
  const head = { accuracy: 0.5, top5Accuracy: count > 5 ? 0.75 : null, loss: 1.25 }
  return {
    ...head,
    count: truth.length,
    modules: [head],
    confusion: confusionMatrix(truth, guesses, count),
    perClass: classScores(truth, guesses, count),
  } satisfies DetailedEvaluation
}

test('probabilities are those of scikit-learn', () => {
  const first = Float32Array.from(golden.logits[0] as number[])
  near([...softmax(first)], golden.softmaxOfTheFirst, 'softmax')
})

test('the confusion matrix and the scores of each class are those of scikit-learn', () => {
  assert.equal(confusionMatrix(labels, golden.predicted, classes), golden.confusion)
  const scores = classScores(labels, golden.predicted, classes)
  for (const key of ['precision', 'recall', 'f1'] as const) {
    const values = scores.map((score) => score[key])
    near(values, golden[key], key)
  }
  assert.equal(
    scores.map(({ count }) => count),
    golden.support,
  )
})

test('of equal values the lower place comes first', () => {
  assert.equal(largest([1, 3, 3, 2], 3), [1, 2, 3])
})

test('a prediction of no class is in no column', () => {
  assert.equal(confusionMatrix([0], [-1], 6).flat(), new Array(36).fill(0))
})

test('large logits do not overflow the probabilities', () => {
  assert.equal([...softmax(Float32Array.of(3e4, -3e4))], [1, 0])
})

test('mistakes are listed by frequency, right answers are none', () => {
  const matrix = [
    [9, 1, 0],
    [3, 9, 2],
    [0, 2, 9],
  ]
  assert.equal(frequentConfusions(matrix, 3), [
    { label: 1, predicted: 0, count: 3 },
    { label: 1, predicted: 2, count: 2 },
    { label: 2, predicted: 1, count: 2 },
  ])
})

test('ten classes are a matrix within 80 columns', () => {
  const truth = Array.from({ length: 10_000 }, (_, image) => image % 10)
  const names = truth.slice(0, 10).map((label) => `class called ${label}`)
  const text = formatEvaluation(evaluation(truth, truth, 10), {
    ...{ heads: ['module 1'], classes: names, columns: 80 },
  })
  const width = Math.max(...text.split('\n').map((line) => line.length))
  assert.ok(width <= 80, `${width} columns`)
  assert.match(text, /^3 class called 3 +0 +0 +0 +1000 +0/m)
  assert.match(text, /^module 1 +50\.00 % +75\.00 % +1\.2500$/m)
})

test('a hundred classes are the worst ones and the most frequent confusions', () => {
  const truth = Array.from({ length: 1_000 }, (_, image) => image % 100)
  const guesses = truth.map((label, image) => (label === 7 && image > 400 ? 9 : label))
  const names = Array.from({ length: 100 }, (_, label) => `name ${label}`)
  const text = formatEvaluation(evaluation(truth, guesses, 100), {
    ...{ heads: ['module 1'], classes: names, columns: 80 },
  })
  assert.match(text, 'The 10 classes with the lowest F1 of 100')
  assert.match(text, /^7 name 7 +100\.00 % +40\.00 % +57\.14 % +10$/m)
  assert.match(text, /^7 name 7 +9 name 9 +6$/m)
  assert.not.match(text, 'True class in the row')
})

test('a matrix that the terminal is too narrow for is not printed either', () => {
  const names = { heads: [], classes: ['a', 'b'], columns: 8 }
  assert.match(formatEvaluation(evaluation([0, 1], [1, 1], 2), names), /^0 a +1 b +1$/m)
})

test('the CSV holds the whole matrix, with names that stay one cell', () => {
  const csv = confusionCsv(evaluation([0, 0, 1], [0, 1, 1], 2), ['a,b', 'say "c"'])
  assert.is(csv, 'true class,"a,b","say ""c"""\r\n"a,b",1,1\r\n"say ""c""",0,1\r\n')
})

test.run()
