// state.json of a checkpoint: how far the run was, its random numbers, and the digests of the files beside
// it. A resume trusts every figure in it, so it has a digest of itself and a schema.
import { createHash } from 'node:crypto'
import type { z } from 'zod'
import { RUN_SCHEMA } from '../base/run-files.js'
import { integer, lazy, zod } from '../base/validate.js'
import { type ProductTable, productTableSchema } from '../device/products.js'
import type { LogPlaces } from '../loggers/loggers.js'
import type { TrainingProgress } from '../train/training-state.js'
import type { WrittenFile } from '../weights/checkpoint.js'
import { damaged, otherSchema } from './refusals.js'
import type { Surroundings } from './surroundings.js'

export interface StateIndex {
  readonly progress: TrainingProgress
  /** Of the random numbers, base64. */
  readonly generator: string
  readonly logs?: LogPlaces | undefined
  readonly surroundings?: Surroundings | undefined
  /** Which backends compute products. */
  readonly products?: ProductTable | undefined
  readonly files: Readonly<Record<string, WrittenFile>>
}

/** The text of state.json. */
export function stateIndexText(index: StateIndex): string {
  // What could not be read again would cost the run.
  checkIndex(JSON.parse(JSON.stringify(index)), 'What is to be kept')
  const document = { schema: RUN_SCHEMA, sha256: digestOf(index), state: index }
  return `${JSON.stringify(document, null, 2)}\n`
}

/**
 * @param file For messages.
 * @throws {LocalformerError} `ERR_CHECKPOINT` where it is not what was written.
 */
export function parseStateIndex(file: string, text: string): StateIndex {
  let document: { schema?: unknown; sha256?: unknown; state?: unknown } | null
  try {
    document = JSON.parse(text)
  } catch (cause) {
    throw damaged(`${file} cannot be read: ${(cause as Error).message}`, cause)
  }
  const { schema, sha256, state } = document ?? {}
  if (schema !== undefined && schema !== RUN_SCHEMA) throw otherSchema(file, schema)
  if (typeof state !== 'object' || state === null || typeof sha256 !== 'string') {
    throw damaged(`${file} lacks a part of a run's state`)
  }
  if (digestOf(state) !== sha256) {
    throw damaged(`${file} is not what was written: its SHA-256 is another`)
  }
  checkIndex(state, file)
  return state as StateIndex
}

function checkIndex(state: object, subject: string): void {
  const result = indexSchema().safeParse(state)
  if (result.success) return
  const { path, message } = result.error.issues[0] as z.core.$ZodIssue
  throw damaged(`${subject} holds no state of a run: ${path.join('.')}: ${message}`)
}

/** Of the values, however they are written. */
function digestOf(state: object): string {
  return createHash('sha256').update(JSON.stringify(state)).digest('hex')
}

const indexSchema = lazy(() => {
  const z = zod()
  const figure = z.number().nullable()
  const tally = z.strictObject({ value: z.number(), count: integer(1) })
  const evaluation = z.looseObject({
    count: integer(0),
    accuracy: figure,
    loss: figure,
    modules: z.array(z.looseObject({ accuracy: figure, loss: figure })),
  })
  return z.strictObject({
    progress: z.strictObject({
      step: integer(0),
      epoch: integer(0),
      stepInEpoch: integer(0),
      stage: z.enum(['begin', 'steps', 'evaluation']),
      phase: integer(0),
      epochSums: z.array(z.record(z.string(), tally.nullable())),
      pace: z.strictObject({ images: integer(0), seconds: z.number().min(0) }),
      evaluation: evaluation.nullable(),
      best: z.strictObject({ value: z.number(), epoch: integer(0) }).nullable(),
      epochsSinceBest: integer(0),
      seconds: z.number().min(0),
      peakAllocatedBytes: integer(0),
      frozen: z.array(z.boolean()),
      identity: z.strictObject({
        ...{ model: z.looseObject({}), trainer: z.looseObject({}) },
        ...{ training: z.looseObject({}), data: z.looseObject({}) },
      }),
    }),
    generator: z.base64(),
    logs: z.record(z.string(), z.unknown()).optional(),
    surroundings: z.record(z.string(), z.string()).optional(),
    products: productTableSchema().optional(),
    files: z.record(z.string(), z.strictObject({ bytes: integer(0), sha256: z.string() })),
  })
})
