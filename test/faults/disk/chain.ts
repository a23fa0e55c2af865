// Chains of a run that is begun, struck and gone on with, until it ends: then it has left what a run has
// left that was never struck, bit for bit, and nothing half written. After every blow there is a folder
// that the next process goes on from.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { DIST, type Ended, run } from '../../helpers/child.js'
import { compileLibrary } from '../../helpers/compile.js'
import { type Left, leftBy } from '../../helpers/resumable-run.js'
import { Chance, type Settings } from '../chance.js'
import { Tally } from '../tally.js'

const SCRIPT = path.join(DIST, 'test/faults/disk/child.js')
const SOURCE = 'test/faults/disk/stand_in.cc'
const SCHEDULES = ['together', 'sequential'] as const
/** Of one chain; then it may end. */
const MOST_BLOWS = 6
/** What a process leaves that was struck while it wrote, and the next one removes. */
const UNFINISHED = /\.(tmp|old)$/

export type How = 'kill' | 'full' | 'once'

/** A blow: at the n-th change of a file (stand_in.cc), or by the clock. */
export type Blow =
  | { readonly how: How; readonly change: number }
  | { readonly how: 'kill'; readonly milliseconds: number }

interface Whole {
  readonly schedule: string
  readonly left: Left
  /** Changes of files from beginning to end. */
  readonly changes: number
  readonly milliseconds: number
}

/** Draws a blow for a run like `whole`. */
export type Draw = (chance: Chance, whole: Whole) => Blow
/** Says what is wrong with how a struck process ended; undefined: nothing. */
export type Judge = (tally: Tally, blow: Blow, ended: Ended) => string | undefined

/** Chains until the time is over, at least one of each schedule. */
export async function failChains(settings: Settings, draw: Draw, judge: Judge): Promise<Tally> {
  const [tally, chance] = [new Tally(), new Chance(settings)]
  const library = compileLibrary(SOURCE)
  if (library === undefined) {
    tally.count('chains that were left out: there is no C++ compiler')
    return tally
  }
  const root = mkdtempSync(path.join(tmpdir(), 'localformer-faults-disk-'))
  try {
    const wholes: Whole[] = []
    for (const schedule of SCHEDULES) wholes.push(await runWhole(root, library, schedule))
    do {
      for (const whole of wholes)
        await failChain(root, library, whole, { tally, chance, draw, judge })
    } while (chance.goesOn)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  return tally
}

async function runWhole(root: string, library: string, schedule: string): Promise<Whole> {
  const folder = path.join(root, schedule)
  mkdirSync(folder)
  const begun = performance.now()
  const ended = await runIn(folder, library, schedule)
  const changes = changesOf(ended)
  if (ended.code !== 0 || changes === undefined) throw new Error(ended.stderr)
  return { schedule, left: leftBy(folder), changes, milliseconds: performance.now() - begun }
}

interface Chain {
  readonly tally: Tally
  readonly chance: Chance
  readonly draw: Draw
  readonly judge: Judge
}

async function failChain(root: string, library: string, whole: Whole, chain: Chain) {
  const { tally, chance } = chain
  const folder = path.join(root, 'struck')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  tally.count('chains')
  const blows: string[] = []
  const fail = (what: string) => {
    chance.violation(tally, `${whole.schedule}, ${blows.join(', ')}`, what, what.slice(0, 60))
  }
  const most = 1 + chance.below(MOST_BLOWS)
  while (blows.length < most) {
    const blow = chain.draw(chance, whole)
    blows.push(Object.values(blow).join(' '))
    const ended = await runIn(folder, library, whole.schedule, blow)
    const problem = chain.judge(tally, blow, ended)
    if (problem !== undefined) fail(problem)
    // It came to its end before the blow.
    if (ended.code === 0) break
  }
  const last = await runIn(folder, library, whole.schedule)
  if (last.code !== 0) return fail(`does not go on: ${last.stderr}`)
  for (const part of ['files', 'events', 'steps'] as const) {
    if (!isDeepStrictEqual(leftBy(folder)[part], whole.left[part])) fail(`other ${part} in the end`)
  }
  const unfinished = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    UNFINISHED.test(name),
  )
  if (unfinished.length > 0) fail(`stays behind: ${unfinished.join(', ')}`)
}

function runIn(folder: string, library: string, schedule: string, blow?: Blow): Promise<Ended> {
  const isCounted = blow !== undefined && 'change' in blow
  return run(
    [SCRIPT, folder, schedule],
    {
      ...{ LD_PRELOAD: library, FAULTS_FOLDER: folder },
      ...(isCounted ? { FAULTS_HOW: blow.how, FAULTS_AT: `${blow.change}` } : {}),
    },
    blow === undefined || isCounted ? undefined : blow.milliseconds,
  )
}

/** Changes of files that a process tells of when it ends. */
export function changesOf({ stderr }: Ended): number | undefined {
  const [, changes] = /stand-in: (\d+) changes/.exec(stderr) ?? []
  return changes === undefined ? undefined : Number(changes)
}
