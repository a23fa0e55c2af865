// `npm run test:faults [-- --short] [PART...]`: makes things fail, many times over, and prints how
// often and what did not hold then. A short round of it runs in `npm test`.
import { parseArgs } from 'node:util'
import { runScript, ScriptError } from '../../scripts/lib/script.js'
import { failAllocations } from './allocations/index.js'
import type { Tally } from './tally.js'

/** Each part by its name: what it makes fail, many times over. */
const PARTS: Readonly<
  Record<string, (length: 'short' | 'long', say: (line: string) => void) => Promise<Tally>>
> = {
  allocations: failAllocations,
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { short: { type: 'boolean', default: false } },
  })
  const names = positionals.length > 0 ? positionals : Object.keys(PARTS)
  let violations = 0
  for (const name of names) {
    const part = PARTS[name]
    if (part === undefined) {
      throw new ScriptError(`Expected one of ${Object.keys(PARTS).join(', ')} but received ${name}`)
    }
    const startedAt = performance.now()
    const tally = await part(values.short ? 'short' : 'long', (line) => console.error(line))
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`${name}, ${seconds} s\n${tally.text()}`)
    violations += tally.violations.length
  }
  return violations === 0 ? 0 : 1
}

await runScript('test:faults', main)
