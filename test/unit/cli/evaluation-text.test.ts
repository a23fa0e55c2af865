// The confusion matrix as CSV: names of classes are text, whatever they begin with.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { confusionCsv } from '../../../lib/cli/evaluation-text.js'
import type { DetailedEvaluation } from '../../../lib/evaluate/evaluate.js'

test('a class that is called like a formula is a cell of text', () => {
  const head = { accuracy: 1, top5Accuracy: null, loss: 0 }
  const score = { precision: 1, recall: 1, f1: 1, count: 1 }
  const confusion = [
    [1, 0],
    [0, 1],
  ]
  const result: DetailedEvaluation = {
    ...{ ...head, count: 2, modules: [], confusion, perClass: [score, score] },
  }
  assert.is(
    confusionCsv(result, ['=cmd()', 'cat, "big"']),
    `true class,'=cmd(),"cat, ""big"""\r\n'=cmd(),1,0\r\n"cat, ""big""",0,1\r\n`,
  )
})

test.run()
