// What the items of `doctor --gpu` make of their figures: errors, differences, bounds, rows.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatGpuReport } from '../../../lib/cli/gpu-text.js'
import { gpuOf, sharesOf } from '../../../lib/doctor/gpu/busy.js'
import type { GpuReport } from '../../../lib/doctor/gpu/check-gpu.js'
import { type Exit, problemsOf as problemsOfExit } from '../../../lib/doctor/gpu/exits.js'
import { errorsOf, IEEE_BOUND, isWithin, summarise } from '../../../lib/doctor/gpu/gradients.js'
import { judged } from '../../../lib/doctor/gpu/item.js'
import { ITEMS } from '../../../lib/doctor/gpu/items.js'
import {
  complaintsOf as complaintsOfLibraries,
  cudaVersion,
  nvidiaFiles,
} from '../../../lib/doctor/gpu/libraries.js'
import {
  complaintsOf as complaintsOfMemory,
  type MemoryRow,
  simulatedLike,
} from '../../../lib/doctor/gpu/memory-table.js'
import { factsOf, problemsOf as problemsOfMemory } from '../../../lib/doctor/gpu/out-of-memory.js'
import { differing } from '../../../lib/doctor/gpu/repeats.js'
import { LocalformerError } from '../../../lib/index.js'
import { itemsWithCheckout, lastJson, testsOutcome } from '../../../scripts/verify-gpu.js'

const tensor = (...values: number[]) => ({
  shape: [values.length],
  data: Float32Array.from(values),
})
const GIB = 2 ** 30

test('the error of a gradient is its distance over the length of the reference', () => {
  const reference = { a: tensor(3, 4), b: tensor(1, 0), zero: tensor(0, 0) }
  const errors = errorsOf(reference, { a: tensor(3, 4.5), b: tensor(1, 0), zero: tensor(0, 0) })
  assert.equal(errors, [
    { name: 'a', error: 0.1 },
    { name: 'b', error: 0 },
    { name: 'zero', error: 0 },
  ])
  assert.equal(summarise(errors), { largest: 0.1, worst: 'a', median: 0 })
})

test('a value where the reference has none, a NaN and a missing tensor are the worst', () => {
  const reference = { a: tensor(1), b: tensor(0), c: tensor(1) }
  for (const other of [
    { a: tensor(1), b: tensor(1), c: tensor(1) },
    { a: tensor(1), b: tensor(Number.NaN), c: tensor(1) },
    { a: tensor(1), c: tensor(1) },
  ]) {
    const { largest, worst } = summarise(errorsOf(reference, other as never))
    assert.is(largest, Number.POSITIVE_INFINITY)
    assert.is(worst, 'b')
    assert.not(isWithin({ largest, median: 0 }, IEEE_BOUND))
  }
})

test('both the largest and the median have a bound', () => {
  assert.ok(isWithin({ largest: 1e-3, median: 1e-4 }, IEEE_BOUND))
  assert.not(isWithin({ largest: 1.1e-3, median: 1e-5 }, IEEE_BOUND))
  assert.not(isWithin({ largest: 5e-4, median: 2e-4 }, IEEE_BOUND))
})

test('tensors differ by a single bit, even of zero, and where one has none', () => {
  const first = { a: tensor(1, 2), b: tensor(0), c: tensor(1) }
  assert.equal(differing(first, { a: tensor(1, 2), b: tensor(0), c: tensor(1) }), [])
  assert.equal(differing(first, { a: tensor(1, 2 + 2 ** -22), b: tensor(-0), d: tensor(1) }), [
    ...['a', 'b', 'c', 'd'],
  ])
})

const MAPS = `
7f00-7f01 r-xp 0000 08:01 11 /opt/torch/lib/libtorch_cuda.so
7f01-7f02 r-xp 0000 08:01 12 /opt/nvidia/cu13/lib/libcudart.so.13
7f02-7f03 r--p 0000 08:01 12 /opt/nvidia/cu13/lib/libcudart.so.13
7f03-7f04 r-xp 0000 08:01 13 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06
7f04-7f05 r-xp 0000 08:01 14 /opt/nvidia/cu13/lib/libcublas.so.13
7f05-7f06 r-xp 0000 08:01 15 /opt/nvidia/cu13/lib/libcublasLt.so.13
7f06-7f07 r-xp 0000 08:01 16 /opt/with space/libcudnn.so.9
7f07-7f08 r-xp 0000 08:01 17 /opt/nvidia/cudnn/lib/libcudnn_graph.so.9
7f08-7f09 rw-p 0000 00:00 0 [heap]
`
const VERSIONS = { driver: 13_000, runtime: 13_000 }

test("NVIDIA's libraries are read from the maps of a process, each once", () => {
  const files = nvidiaFiles(MAPS)
  assert.equal(files.length, 6)
  assert.ok(files.includes('/opt/with space/libcudnn.so.9'))
  assert.equal(complaintsOfLibraries(files, VERSIONS), [])
})

test('a library that is missing or there twice, and an old driver, are told', () => {
  const files = nvidiaFiles(MAPS)
  const without = files.filter((file) => !file.includes('libcublas.so'))
  assert.equal(complaintsOfLibraries(without, VERSIONS), ['libcublas is not loaded'])
  const twice = complaintsOfLibraries([...files, '/usr/lib/libcudart.so.12'], VERSIONS)
  assert.match(twice.join(), 'libcudart is loaded twice')
  // In WSL the driver's is two files.
  assert.equal(complaintsOfLibraries([...files, '/usr/lib/wsl/lib/libcuda.so.1'], VERSIONS), [])
  const old = complaintsOfLibraries(files, { driver: 12_080, runtime: 13_000 })
  assert.equal(old, ['the driver is for CUDA 12.8, the libraries for 13.0'])
  assert.equal(complaintsOfLibraries(files, { driver: 13_000, runtime: 13_010 }), [])
  assert.is(cudaVersion(12_080), '12.8')
})

test('the simulated card is that of the same name and size, else of size and architecture', () => {
  const rtx3060 = { name: 'NVIDIA GeForce RTX 3060', major: 8, minor: 6 }
  assert.is(simulatedLike({ ...rtx3060, totalBytes: 12_036 * 2 ** 20 }), 'sim:rtx3060')
  // Sold with 8 GB too.
  assert.is(simulatedLike({ ...rtx3060, totalBytes: 8192 * 2 ** 20 }), 'sim:8192MiB,sm_86')
  const other = { name: 'NVIDIA RTX 4000', major: 8, minor: 9, totalBytes: 20 * GIB }
  assert.is(simulatedLike(other), 'sim:20480MiB,sm_89')
})

test('simulated peaks are within a hundredth, lower bounds not above', () => {
  const row = (deviceBytes: number | null, simulatedBytes: number | null, isLowerBound = false) =>
    ({ batchSize: 32, spec: 'paper:4', deviceBytes, simulatedBytes, isLowerBound }) as MemoryRow
  const isRight = (one: MemoryRow) => complaintsOfMemory([one]).length === 0
  assert.ok(isRight(row(1000, 1010)))
  assert.ok(isRight(row(1000, 990)))
  assert.not(isRight(row(1000, 1011)))
  assert.not(isRight(row(1000, 989)))
  assert.ok(isRight(row(1000, 500, true)))
  assert.not(isRight(row(1000, 1011, true)))
  assert.ok(isRight(row(null, null)))
  assert.match(complaintsOfMemory([row(null, 1)]).join(), 'on the device alone')
  assert.match(complaintsOfMemory([row(1, null)]).join(), 'in the simulation alone')
})

test("an error of memory has its code, its numbers and the limit's", () => {
  const details = { requestedBytes: 5, allocatedBytes: 7, limitBytes: GIB, phase: 'backward' }
  const error = new LocalformerError('ERR_OUT_OF_MEMORY', 'too much', { details })
  assert.is(factsOf(error).phase, 'backward')
  assert.equal(problemsOfMemory(factsOf(error), GIB), [])
  assert.is(problemsOfMemory(factsOf(error), 2 * GIB).length, 1)
  const bare = new LocalformerError('ERR_OUT_OF_MEMORY', 'too much')
  assert.is(problemsOfMemory(factsOf(bare), GIB).length, 3)
  assert.equal(problemsOfMemory(factsOf(new Error('CUDA error')), GIB), ['no code: CUDA error'])
})

test('an exit has its code or signal, comes at all, and is silent where nothing was thrown', () => {
  const exit: Exit = {
    ...{ way: 'exit', share: 0.1, code: 7, signal: null, isLate: false, isWithin: true },
    stderr: '',
  }
  assert.equal(problemsOfExit(exit), [])
  assert.match(problemsOfExit({ ...exit, code: 0 }).join(), 'code 0')
  assert.match(problemsOfExit({ ...exit, code: null, signal: 'SIGSEGV' }).join(), 'by SIGSEGV')
  assert.match(problemsOfExit({ ...exit, stderr: 'x\nterminate called\n' }).join(), 'complains')
  assert.match(problemsOfExit({ ...exit, isLate: true }).join(), 'does not end')
  const interrupted = { ...exit, way: 'interrupt', code: null, signal: 'SIGINT' } as const
  assert.equal(problemsOfExit(interrupted), [])
  assert.is(problemsOfExit({ ...interrupted, code: 0, signal: null }).length, 1)
  assert.equal(problemsOfExit({ ...exit, way: 'throw', code: 1, stderr: 'Error' }), [])
})

test('nvidia-smi: shares in per cent, and the GPU of a process', () => {
  assert.equal(sharesOf('87\n[N/A]\n100\n\n'), [0.87, 1])
  assert.is(gpuOf(['12, GPU-a', '123, GPU-b'], 123), 'GPU-b')
  assert.is(gpuOf(['12, GPU-a'], 1), undefined)
})

test('complaints make an item fail, and are what it says', () => {
  assert.equal(judged([], 'well', 1), { status: 'ok', summary: 'well', details: 1 })
  assert.equal(judged(['a', 'b'], 'well', 1), { status: 'fail', summary: 'a; b', details: 1 })
})

test('all items have a name of their own, a limit, and can be answered on a GPU', () => {
  for (const items of [ITEMS, itemsWithCheckout()]) {
    assert.is(new Set(items.map(({ id }) => id)).size, items.length)
    for (const { on, limitSeconds } of items) {
      assert.ok(on.includes('gpu'))
      assert.ok(limitSeconds <= 240)
    }
  }
  const added = itemsWithCheckout().filter((item) => !ITEMS.includes(item))
  assert.equal(
    added.map(({ id }) => id),
    ['gpu-tests', 'python'],
  )
})

test('the report says what is simulated, and has a line an item', () => {
  const row = { id: 'a', title: 'a', status: 'ok', seconds: 1.25, summary: 's', details: null }
  const report: GpuReport = {
    ...{ schema: 1, ok: true, date: '', version: '1', quick: false },
    device: { name: 'sim:t4', kind: 'simulated', title: 'Tesla T4', reason: 'as asked for' },
    items: [
      { ...row, status: 'ok' },
      { ...row, status: 'left', title: 'longer', seconds: null, summary: 'two\nlines' },
    ],
  }
  const lines = formatGpuReport(report).split('\n')
  assert.match(lines[0] ?? '', 'a simulated Tesla T4')
  assert.match(lines[0] ?? '', 'nothing is computed')
  assert.match(lines[2] ?? '', /^ok {4}a {9}1\.3 s {2}s$/)
  assert.match(lines[3] ?? '', /^left {2}longer {11}two.*lines$/)
  assert.is(lines.at(-1), '1 ok, 0 failed, 1 left')
})

test("the runner's last line is what the GPU tests came to", () => {
  const outcome = (output: string, code = 0) => testsOutcome({ code, output }).status
  assert.is(outcome('noise\n\n9 passed, 0 failed, 1 skipped\n'), 'ok')
  assert.is(outcome('9 passed, 1 failed, 0 skipped\n', 1), 'fail')
  assert.is(outcome('0 passed, 0 failed, 9 skipped\n'), 'fail')
  assert.is(outcome('crashed\n', 1), 'fail')
  const late = testsOutcome({ code: null, timedOutAfter: 180.2, output: '' })
  assert.is(late.summary, 'not over within 180 s')
})

test('a JSON document is found behind what libraries print', () => {
  assert.equal(lastJson('{"a": 1}\n'), { a: 1 })
  assert.equal(lastJson('a warning\n{\n "a": 1\n}\n'), { a: 1 })
  assert.equal(lastJson('{odd}\n{"a": 1}\n'), { a: 1 })
  assert.is(lastJson('Traceback'), undefined)
})

test.run()
