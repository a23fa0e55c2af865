// Figures of a process that ran, for the tests of what is made of them.
import type { Contender, Figures } from '../../../bench/speed/contender.js'

export function figures(stepSeconds: readonly number[], more: Partial<Figures> = {}): Figures {
  return {
    ...{ firstStepSeconds: 2, stepSeconds: [...stepSeconds], losses: [2.5, 2.25] },
    ...{ tuningSeconds: null, peakAllocatedBytes: null, peakRssBytes: 2 ** 30, threads: 2 },
    versions: { torch: '2.11.0' },
    ...more,
  }
}

export function contender(name: string, more: Partial<Contender> = {}): Contender {
  return {
    name,
    shape: { imageSize: 32, windowSize: 4, batchSize: 8, warmup: 1, steps: 2 },
    work: { program: 'own-step', spec: 'backprop' },
    ...more,
  }
}
