// Values that nobody means to pass, and arguments that were right until one thing in them was changed.
import type { Chance } from './chance.js'

/** What a trap or a getter of ours throws: a caller's own error, not the package's. */
export class Trap extends Error {}

function trap(): never {
  throw new Trap('a trap')
}

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function detached(): Float32Array {
  const data = new Float32Array(4)
  structuredClone(data.buffer, { transfer: [data.buffer] })
  return data
}

function circular(): object {
  const value: Record<string, unknown> = {}
  value.self = value
  return value
}

const throwing: ProxyHandler<object> = {
  ...{ get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap, apply: trap, construct: trap },
  getOwnPropertyDescriptor: trap,
}

/** Made anew for every use: some can be used up. */
const ODD: readonly (() => unknown)[] = [
  ...[undefined, null, true, false, 0, -0, 1, -1, 0.5, 3].map((value) => () => value),
  ...[NaN, Infinity, -Infinity, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e15, 1e308, 5e-324].map(
    (value) => () => value,
  ),
  ...['', 'x', ' ', '\0', '\u001b[2J', '__proto__', 'constructor', '-1', 'NaN', '\ud800'].map(
    (value) => () => value,
  ),
  () => 'long'.repeat(20_000),
  ...[() => 10n, () => Symbol('odd'), () => () => 1, () => class {}, () => async () => {}],
  ...[() => ({}), () => [], () => Object.create(null), () => [undefined], () => [[]]],
  ...[
    () => new Array(5),
    () => new Array(2 ** 32 - 1),
    () => [NaN, NaN, NaN],
    () => ['a', 'b'],
    () => [1, 2, 3],
  ],
  ...[() => ({ length: 3 }), () => ({ length: -1 }), () => ({ length: 2 ** 53 }), circular],
  ...[
    () => new Date(NaN),
    () => new Map([[1, 2]]),
    () => new Set([1]),
    () => /x/g,
    () => new URL('a:b'),
  ],
  ...[() => new Error('a value'), () => Promise.resolve(1), () => new WeakMap(), () => globalThis],
  ...[() => Object(3), () => Object('text'), () => Object(false), () => new (class Foreign {})()],
  ...[() => new Uint8Array(0), () => new Uint8Array(3), () => new Float32Array(3), detached],
  ...[() => new BigInt64Array(2), () => new DataView(new ArrayBuffer(4)), () => Buffer.from('b')],
  ...[() => new Uint8Array(new SharedArrayBuffer(8)), () => new ArrayBuffer(8)],
  ...[() => new Proxy({}, {}), () => new Proxy([], {}), () => new Proxy(() => 1, {})],
  ...[
    () => new Proxy({}, throwing),
    () => new Proxy(() => 1, throwing),
    () => new Proxy([], throwing),
  ],
  ...[() => revoked({}), () => revoked([]), () => revoked(() => 1)],
  () => ({
    get x() {
      return trap()
    },
  }),
  () => ({ toString: trap, valueOf: trap, [Symbol.toPrimitive]: trap }),
  () => ({ toJSON: trap }),
  () => ({ [Symbol.iterator]: trap, length: 1 }),
  // biome-ignore lint/suspicious/noThenProperty: it is what is meant
  () => ({ then: 3 }),
]

export function odd(chance: Chance): unknown {
  return chance.pick(ODD)()
}

/** Plain objects and lists are taken apart; everything else is one value. */
function isPlain(value: unknown): value is Record<string, unknown> | unknown[] {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === Array.prototype
}

/** The value with one thing in it, anywhere, left out, replaced or added. */
export function changed(value: unknown, chance: Chance): unknown {
  if (!isPlain(value) || chance.below(4) === 0) {
    const isWrapped = typeof value === 'object' && value !== null && chance.below(6) === 0
    return isWrapped ? new Proxy(value, {}) : odd(chance)
  }
  const keys = Object.keys(value)
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value }
  const at = copy as Record<string, unknown>
  const kind = chance.below(8)
  if (kind === 0 || keys.length === 0) at[chance.pick(['extra', '0', 'signal'])] = odd(chance)
  else if (kind === 1) delete at[chance.pick(keys)]
  else {
    const key = chance.pick(keys)
    at[key] = changed(at[key], chance)
  }
  return copy
}

/** A short word for a value, for whoever reads a failure. */
export function show(value: unknown, depth = 0): string {
  try {
    if (typeof value === 'function') return 'a function'
    if (typeof value === 'string') {
      return value.length > 40 ? `${JSON.stringify(value.slice(0, 37))}...` : JSON.stringify(value)
    }
    if (typeof value !== 'object' || value === null)
      return Object.is(value, -0) ? '-0' : String(value)
    if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value.byteLength} bytes)`
    if (!isPlain(value)) return `a ${value.constructor?.name ?? 'bare object'}`
    if (depth > 2) return '...'
    const inner = Object.entries(value)
      .slice(0, 12)
      .map(([key, item]) => (Array.isArray(value) ? '' : `${key}: `) + show(item, depth + 1))
    return Array.isArray(value) ? `[${inner.join(', ')}]` : `{ ${inner.join(', ')} }`
  } catch {
    return 'a hostile object'
  }
}
