// In a control group with half a core's time an operation takes one thread. Skipped where this process may
// not make such a group.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from '../helpers/child.js'

/** A group below this process's own with half a core, or why there is none. */
function makeGroup(): string | { readonly folder: string } {
  if (availableParallelism() < 2) return 'one core: there is nothing to keep from'
  try {
    const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n')
    const v1 = lines.map((line) => /^\d+:(?:cpu|cpu,cpuacct):(.*)$/.exec(line)?.[1]).find(Boolean)
    const v2 = lines.map((line) => /^0::(.*)$/.exec(line)?.[1]).find(Boolean) ?? '/'
    const parent = v1 === undefined ? path.join('/sys/fs/cgroup', v2) : `/sys/fs/cgroup/cpu${v1}`
    const folder = path.join(parent, `localformer-share-${process.pid}`)
    mkdirSync(folder)
    try {
      const [file, share] =
        v1 === undefined ? ['cpu.max', '50000 100000'] : ['cpu.cfs_quota_us', '50000']
      writeFileSync(path.join(folder, file), share)
    } catch (error) {
      rmdirSync(folder)
      throw error
    }
    return { folder }
  } catch (error) {
    return `no control group can be made: ${(error as Error).message}`
  }
}

const group = makeGroup()
if (typeof group === 'string') console.log(`SKIP: ${group}`)
const grouped = typeof group === 'string' ? test.skip : test

const index = fileURLToPath(new URL('../../lib/index.js', import.meta.url))

/** Prints threads: as they are, as the user sets them, and as they are once a worker has loaded the package. */
const script = (folder: string) => `
  import { writeFileSync } from 'node:fs'
  import { once } from 'node:events'
  import { Worker } from 'node:worker_threads'
  writeFileSync(${JSON.stringify(`${folder}/cgroup.procs`)}, String(process.pid))
  const { getThreads, setThreads } = await import(${JSON.stringify(index)})
  const seen = [getThreads()]
  if (process.argv.includes('set')) setThreads(3)
  const inWorker = 'Promise.all([import("node:worker_threads"), import(' + JSON.stringify(${JSON.stringify(index)}) + ')]).then(([{ parentPort }, { getThreads }]) => parentPort.postMessage(getThreads()))'
  const [threads] = await once(new Worker(inWorker, { eval: true, env: {} }), 'message')
  seen.push(threads, getThreads())
  console.log(JSON.stringify(seen))
  process.exit(0)
`

grouped(
  'as many threads as it has cores; a number that was set stays, also beside workers',
  async () => {
    const { folder } = group as { readonly folder: string }
    const threads = async (env: NodeJS.ProcessEnv, ...rest: string[]) => {
      const options = ['--input-type=module', '-e', script(folder), '--', ...rest]
      const { code, stdout, stderr } = await run(options, env)
      assert.is(code, 0, stderr)
      return JSON.parse(stdout)
    }
    const unset = { OMP_NUM_THREADS: undefined, MKL_NUM_THREADS: undefined }
    try {
      assert.equal(await threads(unset), [1, 1, 1])
      assert.equal(await threads(unset, 'set'), [1, 3, 3])
      assert.equal(await threads({ ...unset, OMP_NUM_THREADS: '2' }), [2, 2, 2])
    } finally {
      rmdirSync(folder)
    }
  },
)

test.run()
