// The command line of `npm run bench`.
import { parseArgs } from 'node:util'
import { expected, LocalformerError } from '../../../lib/base/errors.js'
import { nearestOf } from '../../../lib/base/nearest.js'
import { CASES, type Case } from './cases.js'

export const HELP = `npm run bench -- [CASE...] [OPTION...]

Measures training steps of this package and of its peers in PyTorch, each in a fresh process, in turn: in
every round every contender once. Without a CASE all are measured, which takes hours; --list names them.
\`npm run bench:peers\` installs the peers; without them only this package is measured.

  --rounds N        Times that every contender runs; default 3
  --quick           One round of two steps: whether it works, not how fast it is
  --threads N       Threads of an operation, for every contender; default: the cores
  --beside N        Processes that keep a core busy each while it measures; default 0
  --limit SECONDS   A contender whose process takes longer is given up; default 1200
  --reference NAME  The contender that the others are set against, where a case has it
  --without NAME    Leaves the contender of just this name out of the cases; may be given several times
  --cifar10 DIR     Folder of CIFAR-10 for the cases with a pipeline; default: generated images
  --json FILE       Also writes the figures, after every case
  --picture FILE    Draws the case \`growth\` as SVG
  --list            Names the cases and their contenders
  --help            This text`

export interface BenchOptions {
  readonly cases: readonly Case[]
  readonly rounds: number
  readonly quick: boolean
  /** Undefined: the cores. */
  readonly threads: number | undefined
  /** Processes that keep a core busy each meanwhile. */
  readonly beside: number
  /** What a contender's process may take. */
  readonly limitSeconds: number
  readonly reference: string | undefined
  readonly cifar10: string | undefined
  /** File of the JSON document. */
  readonly json: string | undefined
  /** File of the picture of `growth`. */
  readonly picture: string | undefined
  /** What is printed instead of measuring. */
  readonly print: 'list' | 'help' | undefined
}

/** torch.compile alone takes minutes; without instructions for bfloat16 timm takes as long for a step of it. */
const LIMIT_SECONDS = 1200

const QUICK = { rounds: 1, warmup: 1, steps: 2 }

/** @throws {LocalformerError} `ERR_USAGE` */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parse(args)
  const { quick = false, threads, reference, cifar10, json, picture } = values
  const chosen = (positionals.length === 0 ? CASES.map(({ name }) => name) : positionals).map(find)
  const isThere = (one: Case) => one.contenders.some(({ name }) => name === reference)
  if (reference !== undefined && !chosen.some(isThere)) {
    throw usage(expected('the name of a contender (see --list)', '--reference', reference))
  }
  if (picture !== undefined && !chosen.some(({ name }) => name === 'growth')) {
    throw usage('`--picture` draws the case growth, which is not among those to measure')
  }
  const without = new Set(values.without)
  for (const name of without) {
    if (chosen.some((one) => one.contenders.some((contender) => contender.name === name))) continue
    throw usage(expected('the name of a contender of these cases (see --list)', '--without', name))
  }
  const cases = chosen.map((one) => leaveOut(one, without))
  return {
    cases: quick ? cases.map(shortened) : cases,
    rounds: wholeNumber('--rounds', values.rounds, 100) ?? (quick ? QUICK.rounds : 3),
    threads: wholeNumber('--threads', threads, 4096),
    beside: wholeNumber('--beside', values.beside, 4096, 0) ?? 0,
    limitSeconds: wholeNumber('--limit', values.limit, 86_400) ?? LIMIT_SECONDS,
    print: values.help ? 'help' : values.list ? 'list' : undefined,
    ...{ quick, reference, cifar10, json, picture },
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        threads: { type: 'string' },
        beside: { type: 'string' },
        limit: { type: 'string' },
        reference: { type: 'string' },
        without: { type: 'string', multiple: true },
        cifar10: { type: 'string' },
        json: { type: 'string' },
        picture: { type: 'string' },
        quick: { type: 'boolean' },
        list: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw usage((error as Error).message)
  }
}

function find(name: string): Case {
  const found = CASES.find((one) => one.name === name)
  if (found !== undefined) return found
  const names = CASES.map((one) => one.name)
  const near = nearestOf(name, names)
  const question = near === undefined ? '' : `; did you mean ${near}?`
  throw usage(`${expected(`one of ${names.join(', ')}`, 'CASE', name)}${question}`)
}

function leaveOut(one: Case, without: ReadonlySet<string>): Case {
  return { ...one, contenders: one.contenders.filter(({ name }) => !without.has(name)) }
}

function shortened(one: Case): Case {
  const { warmup, steps } = QUICK
  const contenders = one.contenders.map((contender) => ({
    ...contender,
    shape: { ...contender.shape, warmup, steps },
  }))
  return { ...one, contenders }
}

function wholeNumber(
  name: string,
  text: string | undefined,
  most: number,
  least = 1,
): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  throw usage(expected(`a whole number from ${least} to ${most}`, name, text))
}

function usage(message: string): LocalformerError {
  return new LocalformerError('ERR_USAGE', message, { hint: '`npm run bench -- --help`' })
}
