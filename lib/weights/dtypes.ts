// Data types of safetensors files: which are floats, and how those become float32.
// in: little-endian bytes, as on every platform of this package -> out: Float32Array.

/** Bytes of one value of the types that are read as float32. */
export const FLOAT_BYTES = { F32: 4, F16: 2, BF16: 2, F64: 8 } as const

/** Bytes of one value of the types that hold no learned values: indices, masks, counters. */
export const INTEGER_BYTES = {
  ...{ I64: 8, U64: 8, I32: 4, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1 },
} as const

export type FloatType = keyof typeof FLOAT_BYTES

export function isFloatType(dtype: string): dtype is FloatType {
  return Object.hasOwn(FLOAT_BYTES, dtype)
}

/** Bytes of one value; undefined for a type that is not known here. */
export function bytesPerValue(dtype: string): number | undefined {
  if (isFloatType(dtype)) return FLOAT_BYTES[dtype]
  return Object.hasOwn(INTEGER_BYTES, dtype)
    ? INTEGER_BYTES[dtype as keyof typeof INTEGER_BYTES]
    : undefined
}

/** Values of `dtype` as float32: exact from F16 and BF16, rounded to the nearest from F64. */
export function toFloat32(dtype: FloatType, bytes: ArrayBuffer): Float32Array {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes)
    case 'F64':
      return Float32Array.from(new Float64Array(bytes))
    case 'F16': {
      const table = halfTable()
      return Float32Array.from(new Uint16Array(bytes), (bits) => table[bits] as number)
    }
    case 'BF16': {
      // The upper half of a float32.
      const words = Uint32Array.from(new Uint16Array(bytes), (bits) => bits << 16)
      return new Float32Array(words.buffer)
    }
  }
}

let halves: Float32Array | undefined

/** IEEE 754 binary16 by its bits: 1 sign, 5 exponent (bias 15), 10 fraction. */
function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits >> 15 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    if (exponent === 0) return sign * fraction * 2 ** -24
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  })
  return halves
}
