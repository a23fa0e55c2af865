// How fast a link is, as people write it. in: `10Gbit/s`, `1.25 GB/s`, `nvlink`, bytes a second -> out: bytes
// a second
import { expected, LocalformerError } from '../base/errors.js'

const PREFIXES: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 }
const PATTERN = /^ *(\d{1,16}(?:\.\d{1,9})?) *([kmgt]?)(bit|b)(?:\/s|ps) *$/i

/** One way of an H100's NVLink (NVIDIA's data sheet: 900 GB/s both ways). */
const NVLINK = 450e9

/** @throws {LocalformerError} `ERR_CONFIG` */
export function bandwidthOf(link: unknown): number {
  if (typeof link === 'number' && Number.isFinite(link) && link > 0) return link
  if (link === 'nvlink') return NVLINK
  const [, amount = '', prefix = '', unit = ''] = PATTERN.exec(String(link)) ?? []
  const factor = PREFIXES[prefix.toLowerCase()]
  const isBits = unit.toLowerCase() === 'bit' || unit === 'b'
  const value = Number(amount) * (factor ?? 0) * (isBits ? 1 / 8 : 1)
  if (amount !== '' && value > 0) return value
  const what = 'a rate such as 10Gbit/s, 1GB/s or nvlink'
  throw new LocalformerError('ERR_CONFIG', expected(what, 'link', link))
}
