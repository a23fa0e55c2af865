// What is told of a step as a whole.
import type { Figures, MetricTable } from './metric.js'

/** By native code: the numbers of the C++ struct StepResult (native/core/local/strategy.h). */
const NATIVE = {
  /**
   * Highest bytes in live tensors from the batch's floats on the device to the end of the step; network,
   * optimizers and those floats are in it, what making them took is not.
   */
  peakAllocatedBytes: {
    ...{ name: 'peak_allocated_bytes', title: 'peak allocated', unit: 'live tensors, bytes' },
    ...{ format: 'bytes', given: 'always', word: 'peak' },
  },
  /** Highest bytes taken from the system, in the same time. */
  peakReservedBytes: {
    ...{ name: 'peak_reserved_bytes', title: 'peak reserved', unit: 'bytes taken from the system' },
    ...{ format: 'bytes', given: 'always' },
  },
  /** From the batch as it was stored to the device's last work: upload, normalising and resizing too. */
  seconds: {
    ...{ name: 'seconds', title: 'time', unit: 'seconds' },
    ...{ format: 'seconds', given: 'always' },
  },
  /** Spent on measuring which backend is fastest; not in the step's time, nor in its modules'. */
  tuningSeconds: {
    ...{ name: 'tuning_seconds', title: 'tuning', unit: 'seconds' },
    ...{ format: 'seconds', given: 'always' },
  },
} as const satisfies MetricTable

export const STEP_METRICS = {
  /** The highest of the modules' in this step. */
  learningRate: {
    ...{ name: 'learning_rate', title: 'learning rate', unit: 'highest of the modules, per step' },
    ...{ format: 'rate', given: 'always', word: 'lr' },
    chart: { section: 'speed', fromZero: true },
  },
  /** Of the step and of the wait for its batch, as far as that is known. */
  imagesPerSecond: {
    ...{ name: 'images_per_second', title: 'throughput', unit: 'images per second' },
    ...{ format: 'speed', given: 'always', word: '' },
    chart: { section: 'speed', fromZero: true },
  },
  /** Until the step's batch was ready; null where a script drives the loop. */
  waitSeconds: {
    ...{ name: 'wait_seconds', title: 'wait for the batch', unit: 'seconds' },
    ...{ format: 'seconds', given: 'sometimes' },
  },
  ...NATIVE,
} as const satisfies MetricTable

export type StepMetricName = keyof typeof STEP_METRICS
export type StepFigures = Figures<typeof STEP_METRICS>
export type NativeStepFigures = Figures<typeof NATIVE>
