// In a control group with half a core's time an operation takes one thread. Skipped where this process may
// not make such a group.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from '../helpers/child.js'
import { type Group, makeGroup } from '../helpers/control-group.js'

const group =
  availableParallelism() < 2
    ? 'one core: there is nothing to keep from'
    : makeGroup({
        controller: 'cpu',
        v1: ['cpu.cfs_quota_us', '50000'],
        v2: ['cpu.max', '50000 100000'],
      })
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
  // Of the environment no more than where LibTorch is.
  const isPlace = ([name]) => /^(HOME|XDG_CACHE_HOME|LIBTORCH|LOCALFORMER_LIBTORCH)$/.test(name)
  const env = Object.fromEntries(Object.entries(process.env).filter(isPlace))
  const [threads] = await once(new Worker(inWorker, { eval: true, env }), 'message')
  seen.push(threads, getThreads())
  console.log(JSON.stringify(seen))
  process.exit(0)
`

grouped(
  'as many threads as it has cores; a number that was set stays, also beside workers',
  async () => {
    const { folder, remove } = group as Group
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
      remove()
    }
  },
)

test.run()
