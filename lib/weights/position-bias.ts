// The relative position bias for another window: the table is an image of 2w - 1 by 2w - 1 offsets
// with one channel a head, and is resized as an image (as Microsoft's `load_pretrained` does).
// Bicubic as torch.nn.functional.interpolate(align_corners=False): Keys' kernel with A = -0.75,
// pixel centres aligned, edges repeated, no antialiasing.

const A = -0.75

/** The window of a table with so many rows, (2w - 1)^2; undefined where there is none. */
export function windowOfRows(rows: number): number | undefined {
  const window = (Math.sqrt(rows) + 1) / 2
  return Number.isInteger(window) ? window : undefined
}

/** `table` `[(2 from - 1)^2, heads]` -> `[(2 to - 1)^2, heads]`; computed in float64. */
export function resizeBiasTable(
  table: Float32Array,
  heads: number,
  from: number,
  to: number,
): Float32Array {
  const [before, after] = [2 * from - 1, 2 * to - 1]
  const taps = Array.from({ length: after }, (_, place) => tapsOf(place, before, after))
  const resized = new Float32Array(after * after * heads)
  for (const [y, rows] of taps.entries()) {
    for (const [x, columns] of taps.entries()) {
      for (let head = 0; head < heads; head++) {
        let sum = 0
        for (const row of rows) {
          for (const column of columns) {
            const value = table[(row.place * before + column.place) * heads + head] as number
            sum += row.weight * column.weight * value
          }
        }
        resized[(y * after + x) * heads + head] = sum
      }
    }
  }
  return resized
}

/** The four places that an output place is made of, along one side. */
function tapsOf(place: number, before: number, after: number) {
  const source = ((place + 0.5) * before) / after - 0.5
  const first = Math.floor(source) - 1
  return [0, 1, 2, 3].map((step) => ({
    place: Math.min(Math.max(first + step, 0), before - 1),
    weight: kernel(Math.abs(source - (first + step))),
  }))
}

function kernel(distance: number): number {
  const d = distance
  if (d <= 1) return (A + 2) * d ** 3 - (A + 3) * d ** 2 + 1
  if (d < 2) return A * (d ** 3 - 5 * d ** 2 + 8 * d - 4)
  return 0
}
