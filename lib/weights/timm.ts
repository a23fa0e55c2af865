// timm's names (>= 0.9), which are this package's own.
import type { NameMap } from './name-map.js'

export const timm: NameMap = {
  toOurs: (name) => name,
  fromOurs: (name) => name,
}
