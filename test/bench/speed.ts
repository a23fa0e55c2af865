// `npm run bench [-- CASE...]`: training steps of this package and of its peers in turn, each in a fresh
// process; tables, and a JSON document where asked. Asserts nothing about time: exit code 1 where a contender
// failed. Its parts are in test/bench/speed.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { checkOutputFile, writeOutputFile } from '../../lib/cli/output-file.js'
import { buildNative } from '../../scripts/build-native.js'
import { runScript } from '../../scripts/lib/script.js'
import { killAll } from '../../scripts/lib/test-process.js'
import { type Busy, keepBusy } from './speed/busy.js'
import type { Case } from './speed/cases.js'
import { growthPicture } from './speed/growth-picture.js'
import { inTurn } from './speed/in-turn.js'
import { readCommit, readMachine } from './speed/machine.js'
import { type BenchOptions, HELP, parseOptions } from './speed/options.js'
import { findPeerPython } from './speed/peer-python.js'
import { type Result, resultSchema, rowsOf, threadWarnings, versionsOf } from './speed/result.js'
import { runContender, type Surroundings } from './speed/run-contender.js'
import { caseAsMarkdown, surroundingsAsMarkdown } from './speed/table.js'

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2))
  if (options.print === 'help') console.log(HELP)
  if (options.print === 'list') console.log(options.cases.map(listed).join('\n'))
  if (options.print !== undefined) return 0
  if (options.json !== undefined) await checkOutputFile(options.json, '--json')
  if (options.picture !== undefined) await checkOutputFile(options.picture, '--picture')
  await buildNative()
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-bench-'))
  const clear = () => rmSync(folder, { recursive: true, force: true })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killAll()
      clear()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  try {
    const result = await measure(options, folder)
    console.log(surroundingsAsMarkdown(result))
    if (options.picture !== undefined) {
      const picture = growthPicture(result)
      if (picture !== undefined) await writeOutputFile(options.picture, picture, '--picture')
    }
    return result.cases.some(({ rows }) => rows.some((row) => row.status === 'failed')) ? 1 : 0
  } finally {
    clear()
  }
}

function busyWarnings(busy: Busy, name: string): string[] {
  const lost = busy.lost()
  return lost === 0 ? [] : [`${name}: ${lost} busy processes had ended before it was measured`]
}

const listed = ({ name, title, contenders }: Case) =>
  [`${name}: ${title}`, ...contenders.map((contender) => `  ${contender.name}`)].join('\n')

async function measure(options: BenchOptions, folder: string): Promise<Result> {
  const { rounds, quick, reference, cifar10, json, beside, limitSeconds } = options
  const machine = readMachine()
  const threads = options.threads ?? machine.cores
  const python = findPeerPython()
  let result: Result = {
    ...{ schema: 1, startedAt: new Date().toISOString(), commit: readCommit(), machine },
    ...{ threads, busyProcesses: beside, quick, rounds, versions: {}, cases: [] },
    warnings: 'reason' in python ? [`No peers: ${python.reason}`] : [],
  }
  await using busy = keepBusy(beside)
  for (const one of options.cases) {
    const surroundings: Surroundings = {
      ...{ threads, limitSeconds, python, cifar10, folder: path.join(folder, one.name) },
    }
    mkdirSync(surroundings.folder)
    const hasReference = one.contenders.some(({ name }) => name === reference)
    const results = await inTurn(one.contenders, rounds, async (contender, round) => {
      const place = `${one.name}, round ${round} of ${rounds}: ${contender.name}`
      const outcome = await runContender(contender, surroundings)
      process.stderr.write(`${place}${outcome.status === 'ok' ? '' : `: ${outcome.reason}`}\n`)
      return outcome
    })
    rmSync(surroundings.folder, { recursive: true })
    const rows = rowsOf(one, results, hasReference ? reference : undefined)
    const measured = { name: one.name, title: one.title, rows }
    result = {
      ...result,
      versions: { ...result.versions, ...versionsOf(results) },
      cases: [...result.cases, measured],
      warnings: [
        ...result.warnings,
        ...threadWarnings(measured, threads),
        ...busyWarnings(busy, one.name),
      ],
    }
    console.log(`${caseAsMarkdown(measured)}\n`)
    if (json !== undefined) {
      await writeOutputFile(
        json,
        `${JSON.stringify(resultSchema.parse(result), null, 2)}\n`,
        '--json',
      )
    }
  }
  return result
}

await runScript('bench', main)
