// Which test files a run takes. The sources decide, so that a compiled file whose source is gone
// never runs.
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'

export const GATES = [
  'unit',
  'native',
  'simulated',
  'cli',
  'process',
  'faults',
  'browser',
  'gpu',
] as const

export type Gate = (typeof GATES)[number]

export interface TestFile {
  readonly gate: Gate
  /** As a filter names it, e.g. `unit/libtorch-locate`. */
  readonly name: string
  /** The compiled file. */
  readonly script: string
}

const SUFFIX = '.test.ts'

/** The test files of a gate below `root`, by name. */
export function testFiles(root: string, gate: Gate): TestFile[] {
  const folder = path.join(root, 'test', gate)
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length).split(path.sep).join('/'))
    .sort()
    .map((file) => {
      const name = `${gate}/${file}`
      return { gate, name, script: path.join(root, 'dist', 'test', `${name}.test.js`) }
    })
}

/** Whether a name is chosen: it holds one of the filters, or there are none. */
export function isChosen(name: string, filters: readonly string[]): boolean {
  return filters.length === 0 || filters.some((filter) => name.includes(normalize(filter)))
}

/** `test/unit/x.test.ts`, `dist/test/unit/x.test.js` and `unit/x` mean the same. */
function normalize(filter: string): string {
  return filter.replace(/^(\.\/)?(dist\/)?(test\/)?/, '').replace(/\.test\.[jt]s$/, '')
}
