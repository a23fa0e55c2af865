// What is told of each module in a step. Every row is a field of the C++ struct ModuleStepResult
// (native/core/local/module_trainer.h) of the same name.
import type { Figures, ModuleMetric } from './metric.js'

export const MODULE_METRICS = {
  /** Cross-entropy of the module's head, of the last one the classifier's; before weighting. */
  labelLoss: {
    ...{ name: 'label_loss', title: 'label loss', unit: 'cross-entropy, nats' },
    ...{ format: 'number', given: 'learning', over: 'mean', word: 'loss' },
    better: 'lower',
    chart: { section: 'losses', fromZero: false },
  },
  /** R, before weighting; null where the module has no decoder. */
  reconstructionLoss: {
    ...{ name: 'reconstruction_loss', title: 'reconstruction loss' },
    unit: 'R, mean over the elements',
    ...{ format: 'number', given: 'sometimes', over: 'mean', word: 'loss' },
    better: 'lower',
    chart: { section: 'losses', fromZero: true },
  },
  /**
   * Energy of the residual branches (arXiv 2309.17357), before weighting; null where it is not asked
   * for, or the module has no residual branch.
   */
  penalty: {
    ...{ name: 'penalty', title: 'penalty', unit: 'energy of the residual branches' },
    ...{ format: 'number', given: 'sometimes', over: 'mean', word: 'loss' },
    better: 'lower',
    chart: { section: 'losses', fromZero: true },
  },
  /** Of the module's head on the batch; a mixed image counts as what it mostly is. */
  accuracy: {
    ...{ name: 'train_accuracy', title: 'training accuracy', unit: 'share of the batch' },
    ...{ format: 'share', given: 'learning', over: 'mean', word: 'acc' },
    better: 'higher',
    chart: { section: 'accuracy', fromZero: true },
  },
  /** L2 norm of the module's gradients before clipping; null where they were not to be clipped. */
  gradientNorm: {
    ...{ name: 'gradient_norm', title: 'gradient norm', unit: 'L2 norm before clipping' },
    ...{ format: 'number', given: 'sometimes', over: 'mean' },
    chart: { section: 'further', fromZero: true },
  },
  /** Highest bytes in live tensors while the module steps, the whole network's weights included. */
  peakAllocatedBytes: {
    ...{ name: 'peak_allocated_bytes', title: 'peak', unit: 'live tensors, bytes' },
    ...{ format: 'bytes', given: 'always', over: 'max' },
  },
  seconds: {
    ...{ name: 'seconds', title: 'time', unit: 'seconds' },
    ...{ format: 'seconds', given: 'always', over: 'mean' },
  },
} as const satisfies Readonly<Record<string, ModuleMetric>>

export type ModuleMetricName = keyof typeof MODULE_METRICS

/** Of a module in one step. */
export type ModuleFigures<Learns extends boolean = true> = Figures<typeof MODULE_METRICS, Learns>

/** Of a module over several steps, each as its row says; null where no step had it. */
export type ModuleMeans = ModuleFigures<boolean>
