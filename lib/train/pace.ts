// How fast a run is: images over the time of its steps and of the waits for their batches. A mean of
// the steps' rates would count a fast one as much as a slow one.

export interface Pace {
  readonly images: number
  readonly seconds: number
}

export const NO_PACE: Pace = { images: 0, seconds: 0 }

/** With one more step. */
export function paceWith({ images, seconds }: Pace, step: Pace): Pace {
  return { images: images + step.images, seconds: seconds + step.seconds }
}

/** Images a second; null before the first step. */
export function throughputOf({ images, seconds }: Pace): number | null {
  return seconds === 0 ? null : images / seconds
}
