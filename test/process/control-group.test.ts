// Where the control group's memory runs out, a step is told so; the kernel ends nothing. Skipped
// where this process may not make groups.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture, run } from '../helpers/child.js'

const LIMIT = 800 * 2 ** 20

interface Group {
  readonly folder: string
  remove(): void
}

/** A group below this process's own with that limit, or why there is none. */
function makeGroup(): Group | string {
  try {
    const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n')
    const v1 = lines.map((line) => /^\d+:memory:(.*)$/.exec(line)?.[1]).find(Boolean)
    const v2 = lines.map((line) => /^0::(.*)$/.exec(line)?.[1]).find(Boolean) ?? '/'
    const parent = v1 === undefined ? path.join('/sys/fs/cgroup', v2) : `/sys/fs/cgroup/memory${v1}`
    const folder = path.join(parent, `localformer-test-${process.pid}`)
    mkdirSync(folder)
    try {
      writeFileSync(
        path.join(folder, v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'),
        `${LIMIT}`,
      )
    } catch (error) {
      rmdirSync(folder)
      throw error
    }
    return { folder, remove: () => rmdirSync(folder) }
  } catch (error) {
    return `no control group can be made: ${(error as Error).message}`
  }
}

const group = makeGroup()
if (typeof group === 'string') console.log(`SKIP: ${group}`)

const grouped = typeof group === 'string' ? test.skip : test

grouped(
  'a step above what the control group has left is an error, and the next one works',
  async () => {
    const { folder, remove } = group as Group
    try {
      const join = `import('node:fs').then((fs) => fs.writeFileSync('${folder}/cgroup.procs', String(process.pid)))`
      const script = `${join}.then(() => import('file://${fixture('fill-memory')}'))`
      const { code, signal, stdout, stderr } = await run(['--input-type=module', '-e', script])
      assert.is(signal, null, `ended by ${signal}: ${stderr}`)
      assert.is(code, 0, stderr)
      const told = JSON.parse(stdout) as { totalBytes: number; code: string; message: string }
      assert.is(told.totalBytes, LIMIT)
      assert.is(told.code, 'ERR_OUT_OF_MEMORY')
      assert.match(told.message, 'limit 800.0 MiB of the control group')
    } finally {
      remove()
    }
  },
)

test.run()
