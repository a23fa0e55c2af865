// (seed, stream) -> the same random numbers on every machine; whole-number arithmetic only.
// sfc32 is Chris Doty-Humphrey's "small fast counter" generator (PractRand), 32-bit variant.

/** A function that gives the next whole number from 0 to 2^32 - 1. */
export type RandomUint32 = () => number

/**
 * A generator whose sequence is given by two whole numbers from 0 to 2^53 - 1: a seed, and a stream
 * (an epoch, a split) that sets sequences of the same seed apart.
 */
export function randomUint32(seed: number, stream = 0): RandomUint32 {
  // One state word for each half of the two numbers, so that no two pairs start alike.
  let a = seed | 0
  let b = Math.floor(seed / 2 ** 32) | 0
  let c = stream | 0
  let counter = (Math.floor(stream / 2 ** 32) + 1) | 0
  const next = () => {
    const result = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + result) | 0
    return result >>> 0
  }
  // sfc32 wants some rounds before neighbouring seeds look unrelated; its author uses 12 to 15.
  for (let round = 0; round < 16; round++) next()
  return next
}

/** A whole number from 0 to `bound - 1`, each equally likely; `bound` from 1 to 2^32. */
export function randomBelow(random: RandomUint32, bound: number): number {
  // Values above the largest multiple of `bound` would favour the small remainders: draw again.
  const limit = 2 ** 32 - (2 ** 32 % bound)
  let value = random()
  while (value >= limit) value = random()
  return value % bound
}

/** The numbers 0 to `count - 1` in an order given by `seed` and `epoch` alone (Fisher-Yates). */
export function shuffledIndices(count: number, seed: number, epoch: number): Uint32Array {
  const random = randomUint32(seed, epoch)
  const order = Uint32Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last--) {
    const other = randomBelow(random, last + 1)
    const kept = order[last] as number
    order[last] = order[other] as number
    order[other] = kept
  }
  return order
}
