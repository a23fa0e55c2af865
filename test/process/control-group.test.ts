// Where the control group's memory runs out, a step is told so; the kernel ends nothing. Skipped
// where this process may not make groups.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture, run } from '../helpers/child.js'
import { type Group, makeGroup } from '../helpers/control-group.js'

const LIMIT = 800 * 2 ** 20

const group = makeGroup({
  controller: 'memory',
  v1: ['memory.limit_in_bytes', `${LIMIT}`],
  v2: ['memory.max', `${LIMIT}`],
})
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
