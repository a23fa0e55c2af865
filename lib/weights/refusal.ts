// The one error for a file that does not fit a network: what is wrong by kind, what the file seems to
// be, and what is allowed.

import { LocalformerError } from '../base/errors.js'
import type { Parameter } from '../local/swin-transformer.js'
import type { ReadCheckpoint } from './checkpoint.js'
import { describeNetwork, describeSizes, networkOf } from './file-network.js'
import { detectFormat, FORMATS, type WeightFormat } from './formats.js'
import type { WeightsReport } from './plan.js'

type Contents = Pick<ReadCheckpoint, 'tensors' | 'skipped'>

const LISTED = 10

/** For a file in whose names no Swin is recognised. */
export function notASwin(file: string, contents: Contents): LocalformerError {
  const message = `${file} holds no Swin Transformer: it seems to be ${describeNetwork(listed(contents))}`
  return new LocalformerError('ERR_CHECKPOINT', message, { hint: allowed() })
}

/**
 * For a file that leaves something over. The report's lists, whole, are properties of the error too.
 * `advice` is the hint where neither names nor sizes say what is wrong.
 */
export function doesNotFit(
  file: string,
  contents: Contents,
  parameters: readonly Parameter[],
  asked: WeightFormat | 'auto',
  report: WeightsReport,
  advice: string,
): LocalformerError {
  const { format, loaded, missing, unexpected, mismatched } = report
  const shapes = mismatched.map(({ name, expected, received }) => {
    return `${name} is ${shapeText(received)}, not ${shapeText(expected)}`
  })
  const problems = [
    problem('missing', missing),
    problem('unexpected', unexpected),
    problem('of another shape', shapes),
  ]
  const fits = `${loaded.length} of ${parameters.length} parameters fit`
  return new LocalformerError(
    'ERR_CHECKPOINT',
    [`${file} (names of ${format}) does not fit the network: ${fits}`, ...problems.flat()].join(
      '\n',
    ),
    {
      hint: hintOf(contents, parameters, asked, report) ?? advice,
      details: { format, missing, unexpected, mismatched },
    },
  )
}

function problem(kind: string, items: readonly string[]): string[] {
  if (items.length === 0) return []
  const more = items.length > LISTED ? `, and ${items.length - LISTED} more` : ''
  return [`  ${items.length} ${kind}: ${items.slice(0, LISTED).join(', ')}${more}`]
}

function hintOf(
  contents: Contents,
  parameters: readonly Parameter[],
  asked: WeightFormat | 'auto',
  { format }: WeightsReport,
): string | undefined {
  const tensors = listed(contents)
  const detected = detectFormat(tensors.map(({ name }) => name))
  if (asked !== 'auto' && detected !== undefined && detected !== format) {
    return `Its names are ${detected}'s: take format '${detected}' or 'auto'.`
  }
  const network = networkOf(parameters)
  const [is, wanted] = [describeNetwork(tensors), network ? describeSizes(network) : undefined]
  if (wanted !== undefined && is !== wanted) {
    return `The file seems to be ${is}; the network is ${wanted}. ${allowed(wanted)}`
  }
  return undefined
}

function allowed(network = 'a Swin Transformer of the same sizes'): string {
  return (
    `Allowed are weights of ${network}, of any window, image size and number of classes, ` +
    `with the names of ${FORMATS.join(', ')}.`
  )
}

function listed({ tensors, skipped }: Contents) {
  return [...Object.entries(tensors).map(([name, { shape }]) => ({ name, shape })), ...skipped]
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`
}
