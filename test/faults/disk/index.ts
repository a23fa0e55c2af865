// The parts `kills` and `full-disks` of the harness: a run that is struck while it writes its folder.
import type { Ended } from '../../helpers/child.js'
import type { Settings } from '../chance.js'
import type { Tally } from '../tally.js'
import { type Draw, failChains, type Judge } from './chain.js'

type Length = 'short' | 'long'
type Say = (line: string) => void

/** Killed at a change of a file, which is then done by half, or at any moment. */
export function failKills(_length: Length, _say: Say, settings: Settings): Promise<Tally> {
  const draw: Draw = (chance, { changes, milliseconds }) =>
    chance.below(4) === 0
      ? { how: 'kill', milliseconds: chance.below(Math.ceil(milliseconds)) }
      : { how: 'kill', change: 1 + chance.below(changes) }
  return failChains(settings, draw, judgeKill)
}

const judgeKill: Judge = (tally, _blow, { code, signal, stderr }) => {
  if (signal === 'SIGKILL') tally.count('kills')
  else if (code === 0) tally.count('runs that ended before')
  else return `ended by itself: ${stderr}`
  return undefined
}

/** A disk that is full from a change on, or one change that fails. */
export function failDisks(_length: Length, _say: Say, settings: Settings): Promise<Tally> {
  const draw: Draw = (chance, { changes }) => ({
    how: chance.below(3) === 0 ? 'once' : 'full',
    change: 1 + chance.below(changes),
  })
  return failChains(settings, draw, judgeDisk)
}

const judgeDisk: Judge = (tally, blow, ended) => {
  tally.count(blow.how === 'full' ? 'full disks' : 'single calls that fail')
  if (ended.code === 0) tally.count('  after which the run came to its end')
  else if (isTold(ended)) tally.count('  of which the run told')
  else return `neither ended nor told with a code: ${ended.stderr}`
  return undefined
}

function isTold({ code, stderr }: Ended): boolean {
  const [, told] = /^failed: (.*)$/m.exec(stderr) ?? []
  return code === 1 && told !== undefined && /"code":"ERR_[A-Z_]+"/.test(told)
}
