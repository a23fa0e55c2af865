// Which backend of LibTorch computes the products of linear layers on this processor: measured by native
// code at the first product of a shape, kept in the cache, one file for a processor and a LibTorch.
//   products/AuthenticAMD-25-17-avx512_bf16-AVX512-2.11.0-v2.json   { schema, processor, libtorch, choices }
import { closeSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { z } from 'zod'
import { cacheDirectory } from '../base/environment.js'
import { makeFolder, readBytes, writeFileAtomically } from '../base/files.js'
import { lazy, oneOf, zod } from '../base/validate.js'
import type { NativeProductChoice } from '../native/contract.js'
import { loadTorch } from '../native/load.js'

/** A product, `forward float32 8192x96x384, 2 threads`, and its backend. */
export type ProductTable = Readonly<Record<string, NativeProductChoice['backend']>>

/** In the file's name too, so that versions of this package beside each other keep their own. 2: with `widened`. */
const SCHEMA = 2
const KINDS = ['forward', 'input', 'weight', 'added-weight'] as const
const TYPES = ['float32', 'bfloat16'] as const
const BACKENDS = ['mkl', 'onednn', 'onednn-copied', 'convolution', 'widened'] as const
const PRODUCT = new RegExp(
  `^(${KINDS.join('|')}) (${TYPES.join('|')}) (\\d{1,9})x(\\d{1,9})x(\\d{1,9}), (\\d{1,4}) threads$`,
)

export const productTableSchema = lazy(() =>
  zod().record(zod().string().regex(PRODUCT), oneOf(BACKENDS)),
)

const fileSchema = lazy(() =>
  zod().strictObject({
    schema: zod().literal(SCHEMA),
    processor: zod().string(),
    libtorch: zod().string(),
    choices: productTableSchema(),
  }),
)

export function tableOf(choices: readonly NativeProductChoice[]): ProductTable {
  const entries = choices.map(({ kind, dtype, rows, in: inputs, out, threads, backend }) => [
    `${kind} ${dtype} ${rows}x${inputs}x${out}, ${threads} threads`,
    backend,
  ])
  return Object.fromEntries(entries)
}

/** @param table As its schema has it. */
export function choicesOf(table: ProductTable): NativeProductChoice[] {
  return Object.entries(table).map(([product, backend]) => {
    const [, kind, dtype, ...numbers] = PRODUCT.exec(product) as RegExpExecArray
    const [rows = 0, inputs = 0, out = 0, threads = 0] = numbers.map(Number)
    const what = { kind, dtype, rows, in: inputs, out, threads, backend }
    return what as NativeProductChoice
  })
}

let loading: Promise<void> | undefined
let kept = 0
let isTold = false

/** Gives the process what the cache has, once in each thread. What it knows already stays. */
export function loadProductChoices(): Promise<void> {
  loading ??= readChoices().then((table) => loadTorch().addProductChoices(choicesOf(table)))
  return loading
}

/** Writes what was measured since into the cache, with what other processes have put there. */
export async function keepProductChoices(): Promise<void> {
  const measured = loadTorch().measuredProducts()
  if (measured === kept) return
  const file = productsFile()
  try {
    await makeFolder(path.dirname(file))
    const lock = await lockOf(path.dirname(file))
    // The next call tries again.
    if (lock === undefined) return
    try {
      await addToFile(file)
    } finally {
      closeSync(lock)
    }
  } catch (cause) {
    tell(`${file} could not be written: ${(cause as Error).message}`)
  }
  // Where it cannot be written it could not be a step later.
  kept = measured
}

async function addToFile(file: string): Promise<void> {
  // Again where another host, which knows nothing of the lock, wrote what this one had not seen.
  for (let attempt = 0; attempt < 3; attempt++) {
    // Of two processes that measured the same the earlier one's stays.
    const earlier = await readChoices()
    const own = tableOf(loadTorch().productChoices())
    if (Object.keys(own).every((product) => Object.hasOwn(earlier, product))) return
    const choices = mergedTable([earlier, own])
    await writeFileAtomically(file, `${JSON.stringify({ ...headOf(), choices }, null, 2)}\n`)
  }
}

/** Tries to get the lock, and the time between two; a file is written in a few milliseconds. */
const LOCK_TRIES = 100
const LOCK_PAUSE_MS = 20
let hasWaited = false

/**
 * An open folder under a lock that the system drops when it is closed, or with the process; undefined where
 * another one holds it, stopped while it wrote: that is waited for once.
 */
async function lockOf(folder: string): Promise<number | undefined> {
  const descriptor = openSync(folder, 'r')
  for (let attempt = 0; attempt < LOCK_TRIES; attempt++) {
    if (loadTorch().lockFile(descriptor)) return descriptor
    if (hasWaited) break
    await delay(LOCK_PAUSE_MS)
  }
  hasWaited = true
  closeSync(descriptor)
  return undefined
}

/** One table of several: of two choices for a product the first one's. */
export function mergedTable(tables: readonly ProductTable[]): ProductTable {
  return Object.assign({}, ...tables.toReversed())
}

/** The file of this processor and LibTorch. */
export function productsFile(): string {
  const { processor, libtorch } = headOf()
  const name = `${processor} ${libtorch} v${SCHEMA}`.replace(/[^\w.+]+/g, '-')
  return path.join(cacheDirectory(), 'products', `${name}.json`)
}

async function readChoices(): Promise<ProductTable> {
  const file = productsFile()
  try {
    return parseChoices((await readBytes(file)).toString())
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      tell(`${file} is ignored: ${(cause as Error).message}`)
    }
    return {}
  }
}

function parseChoices(text: string): ProductTable {
  const result = fileSchema().safeParse(JSON.parse(text))
  if (!result.success) {
    const { path: place, message } = result.error.issues[0] as z.core.$ZodIssue
    throw new Error(`${place.join('.')}: ${message}`)
  }
  const { processor, libtorch, choices } = result.data
  const here = headOf()
  if (processor === here.processor && libtorch === here.libtorch) return choices
  throw new Error(`it is of ${processor} with LibTorch ${libtorch}`)
}

function headOf() {
  const { libtorch, cpuCapability } = loadTorch().versions()
  return { schema: SCHEMA, processor: `${processorModel()} ${cpuCapability}`, libtorch }
}

/**
 * `AuthenticAMD 25 17 avx512_bf16`: names that processors of one make share say less, and a virtual
 * machine may hide from one what another of the same model has.
 */
export const processorModel = lazy(() => {
  const text = readFileSync('/proc/cpuinfo', 'utf8')
  const of = (name: string) =>
    new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(text)?.[1] ?? 'unknown'
  const flags = of('flags').split(' ')
  return [
    ...['vendor_id', 'cpu family', 'model'].map(of),
    ...['avx512_bf16', 'amx_bf16'].filter((flag) => flags.includes(flag)),
  ].join(' ')
})

/** Without the file products are measured again: nothing else is lost, so it is told once. */
function tell(message: string): void {
  if (isTold) return
  isTold = true
  process.emitWarning(message, { type: 'LocalformerWarning', code: 'LOCALFORMER_PRODUCTS' })
}
