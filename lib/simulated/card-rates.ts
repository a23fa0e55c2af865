// How fast a card is by its vendor's figures, for estimates of time that set configurations in order.
import type { Card } from './cards.js'

/** Peaks; operations and bytes a second. */
export interface CardRates {
  /** Products in float32, by IEEE's rules. */
  readonly float32: number
  /** Products whose factors may be rounded to TF32; float32's rate where a card has none. */
  readonly tf32: number
  /** Products in bfloat16 with sums in float32; float32's rate where a card has none. */
  readonly bfloat16: number
  /** Of the card's memory. */
  readonly bytes: number
}

// Key, TFLOP/s in float32, TF32 and bfloat16 without sparsity, GB/s. From NVIDIA's data sheets and the
// white papers of its architectures (Turing, Ampere GA102, Ada, Hopper, Blackwell).
const TABLE: Readonly<Record<string, readonly [number, number, number, number]>> = {
  t4: [8.1, 8.1, 8.1, 320],
  rtx2080ti: [13.4, 13.4, 13.4, 616],
  a100: [19.5, 156, 312, 2039],
  'a100-40gb': [19.5, 156, 312, 1555],
  a10g: [31.2, 35, 70, 600],
  rtxa6000: [38.7, 77.4, 154.8, 768],
  rtx3060: [12.7, 12.7, 25.5, 360],
  rtx3070: [20.3, 20.3, 40.6, 448],
  rtx3080: [29.8, 29.8, 59.5, 760],
  rtx3090: [35.6, 35.6, 71.2, 936],
  l4: [30.3, 60, 121, 300],
  l40s: [91.6, 183, 362, 864],
  rtx4060: [15.1, 15.1, 30.2, 272],
  'rtx4060ti-16gb': [22.1, 22.1, 44.1, 288],
  rtx4070: [29.1, 29.1, 58.3, 504],
  rtx4080: [48.7, 48.7, 97.5, 717],
  rtx4090: [82.6, 82.6, 165.2, 1008],
  h100: [66.9, 494.7, 989.4, 3350],
  h200: [66.9, 494.7, 989.4, 4800],
  b200: [75, 1100, 2250, 8000],
  rtx5080: [56.3, 56.3, 112.6, 960],
  rtx5090: [104.8, 104.8, 209.5, 1792],
}

// A card that is described by its size and architecture alone: a usual one of its kind.
const USUAL: Readonly<Record<string, string>> = {
  '7.5': 't4',
  '8.0': 'a100',
  '8.6': 'rtx3070',
  '8.9': 'rtx4080',
  '9.0': 'h100',
  '10.0': 'b200',
  '12.0': 'rtx5080',
}

export function ratesOf({ key, major, minor }: Card): CardRates {
  const usual = TABLE[USUAL[`${major}.${minor}`] ?? ''] ?? [10, 10, 10, 300]
  const [float32, tf32, bfloat16, gigabytes] = TABLE[key] ?? usual
  return {
    ...{ float32: float32 * 1e12, tf32: tf32 * 1e12, bfloat16: bfloat16 * 1e12 },
    bytes: gigabytes * 1e9,
  }
}
