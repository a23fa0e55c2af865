// Learning rate over the steps of a run: linear warm-up, then a half cosine to zero
// (Loshchilov & Hutter, SGDR, arXiv 1608.03983, without restarts).

export interface Schedule {
  /** Highest learning rate. */
  readonly learningRate: number
  /** Steps in which it rises linearly from 0, not counting one that is all 0. */
  readonly warmupSteps: number
  readonly totalSteps: number
}

/** Learning rate of a step, counted from 0. */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { learningRate, warmupSteps, totalSteps } = schedule
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps)
  return learningRate * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)))
}
