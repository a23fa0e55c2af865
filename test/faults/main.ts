// `npm run test:faults [-- --short] [--seed N] [--seconds N] [PART...]`: makes things fail, many times
// over, and prints how often and what did not hold then. A short round of it runs in `npm test`.
import { parseArgs } from 'node:util'
import { runScript, ScriptError } from '../../scripts/lib/script.js'
import { failAllocations } from './allocations/index.js'
import { failApi } from './api.js'
import { type Settings, SHORT } from './chance.js'
import { failDisks, failKills } from './disk/index.js'
import { failFiles } from './hostile-files.js'
import type { Tally } from './tally.js'

/** Each part by its name: what it makes fail, many times over. */
const PARTS: Readonly<
  Record<
    string,
    (length: 'short' | 'long', say: (line: string) => void, settings: Settings) => Promise<Tally>
  >
> = {
  allocations: failAllocations,
  kills: failKills,
  'full-disks': failDisks,
  'hostile-files': failFiles,
  api: failApi,
}

/** Of a part that goes on as long as one likes. */
const LONG_SECONDS = 120

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      short: { type: 'boolean', default: false },
      seed: { type: 'string' },
      seconds: { type: 'string' },
    },
  })
  const settings = {
    seed: numberOf('seed', values.seed, Math.floor(Math.random() * 2 ** 32)),
    seconds: numberOf('seconds', values.seconds, values.short ? SHORT.seconds : LONG_SECONDS),
  }
  const names = positionals.length > 0 ? positionals : Object.keys(PARTS)
  let violations = 0
  for (const name of names) {
    const part = PARTS[name]
    if (part === undefined) {
      throw new ScriptError(`Expected one of ${Object.keys(PARTS).join(', ')} but received ${name}`)
    }
    const startedAt = performance.now()
    const say = (line: string) => console.error(line)
    const tally = await part(values.short ? 'short' : 'long', say, settings)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`${name}, seed ${settings.seed}, ${seconds} s\n${tally.text()}`)
    violations += tally.violations.length
  }
  return violations === 0 ? 0 : 1
}

function numberOf(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new ScriptError(`Expected a whole number for \`--${name}\` but received ${text}`)
}

await runScript('test:faults', main)
