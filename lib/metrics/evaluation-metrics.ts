// What is told of the network's classifier and of every module's head on images that are not learned
// from.
import type { Figures, MetricTable } from './metric.js'

export const EVALUATION_METRICS = {
  /** Share of images whose largest logit is the label's. */
  accuracy: {
    ...{ name: 'test_accuracy', title: 'test accuracy', unit: 'share of the test images' },
    ...{ format: 'share', given: 'always', word: 'accuracy', better: 'higher' },
    chart: { section: 'accuracy', fromZero: false },
  },
  /** Share of images whose label is among the five largest logits; null where classes are 5 or fewer. */
  top5Accuracy: {
    ...{ name: 'test_top5_accuracy', title: 'test top-5 accuracy' },
    unit: 'share of the test images',
    ...{ format: 'share', given: 'sometimes', word: 'top 5', better: 'higher' },
    chart: { section: 'accuracy', fromZero: false },
  },
  /** Mean cross-entropy, without label smoothing. */
  loss: {
    ...{ name: 'test_loss', title: 'test loss', unit: 'cross-entropy, nats' },
    ...{ format: 'number', given: 'always', word: 'loss', better: 'lower' },
    chart: { section: 'losses', fromZero: false },
  },
} as const satisfies MetricTable

export type EvaluationMetricName = keyof typeof EVALUATION_METRICS
export type EvaluationFigures = Figures<typeof EVALUATION_METRICS>
