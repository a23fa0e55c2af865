// `localformer plan` beside what training takes: peaks and times on the CPU, largest batches on cards.
// node dist/test/bench/plan.js [memory] [time] [cards]: Markdown tables; ends with 1 where a plan is wrong.
import { parseArgs } from 'node:util'
import { expected, LocalformerError } from '../../lib/base/errors.js'
import { runScript } from '../../scripts/lib/script.js'
import { cardRows, cardTable, isKept } from './plan/cards.js'
import { memoryFaults, memoryRows, memoryTable } from './plan/memory.js'
import { madeOn } from './plan/table.js'
import { correlationOf, LEAST_CORRELATION, timeRows, timeTable } from './plan/time.js'

type Tell = (text: string) => void

interface Part {
  readonly title: string
  /** Its table, and what is wrong. */
  readonly make: (tell: Tell) => Promise<{ table: string; faults: readonly string[] }>
}

const PARTS: Readonly<Record<string, Part>> = {
  memory: {
    title: 'Peaks on the CPU, planned and measured',
    make: async (tell) => {
      const rows = await memoryRows(tell)
      return { table: memoryTable(rows), faults: memoryFaults(rows) }
    },
  },
  time: {
    title: 'Times of a step on the CPU, estimated and measured',
    make: async (tell) => {
      const rows = await timeRows(tell)
      const correlation = correlationOf(rows)
      // A goal, told and not held: other work on a machine disturbs it.
      if (correlation < LEAST_CORRELATION) tell(`correlation below ${LEAST_CORRELATION}`)
      return { table: timeTable(rows), faults: [] }
    },
  },
  cards: {
    title: 'Largest batches on cards',
    make: async (tell) => {
      const rows = await cardRows(tell)
      const faults = rows
        .filter((row) => !isKept(row))
        .map(({ run, card, possible }) => `${run} on ${card}: ${possible} is not the largest batch`)
      return { table: cardTable(rows), faults }
    },
  },
}

async function main(): Promise<number> {
  const { positionals } = parseArgs({ allowPositionals: true })
  const unknown = positionals.find((name) => !(name in PARTS))
  if (unknown !== undefined) {
    const parts = Object.keys(PARTS).join(', ')
    throw new LocalformerError('ERR_USAGE', expected(`one of ${parts}`, 'PART', unknown))
  }
  const faults: string[] = []
  for (const [name, { title, make }] of Object.entries(PARTS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    const made = await make((text) => process.stderr.write(`${name}: ${text}\n`))
    console.log(`## ${title}\n\n${made.table}\n`)
    faults.push(...made.faults)
  }
  console.log(`Made on ${madeOn()}.`)
  for (const fault of faults) process.stderr.write(`WRONG: ${fault}\n`)
  return faults.length === 0 ? 0 : 1
}

await runScript('bench:plan', main)
