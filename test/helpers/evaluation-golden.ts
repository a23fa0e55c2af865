// What scikit-learn makes of some logits: test/fixtures/golden/evaluation.json.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface EvaluationGolden {
  readonly classes: number
  readonly labels: readonly number[]
  readonly logits: readonly (readonly number[])[]
  readonly predicted: readonly number[]
  readonly accuracy: number
  readonly top5: number
  readonly loss: number
  readonly softmaxOfTheFirst: readonly number[]
  readonly confusion: readonly (readonly number[])[]
  readonly precision: readonly number[]
  readonly recall: readonly number[]
  readonly f1: readonly number[]
  readonly support: readonly number[]
}

export function evaluationGolden(): EvaluationGolden {
  const file = new URL('../../../test/fixtures/golden/evaluation.json', import.meta.url)
  return JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as EvaluationGolden
}
