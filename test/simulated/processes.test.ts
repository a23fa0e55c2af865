// Simulated cards in processes of their own: the same every time, full, beside other threads, at the end
// of a process, and where they cannot be.
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { findAddon } from '../../lib/native/load.js'
import { standIns } from '../../lib/simulated/stand-ins.js'
import { DIST, type Ended, fixture, run, runProgram } from '../helpers/child.js'
import { rejects } from '../helpers/expect.js'

const LIBTORCH = locateLibtorch().root

type Said = Readonly<Record<string, string | number>>

function simulate(args: readonly string[], environment: Record<string, string> = {}) {
  return run([fixture('simulate'), ...args], environment)
}

/** What a process that ended well has printed. */
function said({ code, stdout, stderr }: Ended): Said[] {
  assert.is(code, 0, stderr)
  const lines = stdout.trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Said)
}

async function stepOf(card: string, environment: Record<string, string> = {}): Promise<Said> {
  return said(await simulate([card], environment))[0] as Said
}

test('bytes and calls are the same in every process', async () => {
  const first = await stepOf('rtx3060')
  assert.ok((first.peakAllocatedBytes as number) > 0)
  assert.is(first.unorderedUses, 0)
  assert.equal(await stepOf('rtx3060'), first)
  assert.equal(await stepOf('RTX 3060', { OMP_NUM_THREADS: '2' }), first)
})

test('workspaces are larger on an sm_90 than on an sm_86, and that is all in a small step', async () => {
  const [small, large] = [await stepOf('rtx3060'), await stepOf('h100')]
  const [less, more] = [small.workspaceBytes as number, large.workspaceBytes as number]
  assert.ok(more > 3 * less, `${more} and ${less}`)
  const rest = (said: Said) => (said.peakAllocatedBytes as number) - (said.workspaceBytes as number)
  assert.is(rest(large), rest(small))
  assert.is(large.launches, small.launches)
})

test('a card that is too small is out of memory, with numbers, and the process ends well', async () => {
  const { code, stderr } = await simulate(['1GiB,sm_86', 'step', '8192'])
  assert.is(code, 1)
  assert.match(stderr, 'ERR_OUT_OF_MEMORY')
  assert.match(stderr, /cuda:0|CUDA card of 1GiB/)
})

test('expandable segments use the virtual memory of the driver', async () => {
  const plain = await stepOf('rtx3060')
  const expandable = await stepOf('rtx3060', {
    PYTORCH_CUDA_ALLOC_CONF: 'expandable_segments:True',
  })
  assert.is(expandable.peakAllocatedBytes, plain.peakAllocatedBytes)
  assert.ok((expandable.peakReservedBytes as number) >= (plain.peakAllocatedBytes as number))
})

test('what is not simulated says so and fails, and the process ends well', async () => {
  const { code, signal, stderr } = await simulate(['rtx3060'], {
    PYTORCH_CUDA_ALLOC_CONF: 'backend:cudaMallocAsync',
  })
  assert.is(signal, null, stderr)
  assert.is(code, 1, stderr)
  assert.match(stderr, /localformer: cuda\w+ is not simulated/)
  assert.match(stderr, 'ERR_TORCH')
})

test('a worker thread has the card of its process, whoever asked first, and no other', async () => {
  const [main, worker, refused] = said(await simulate(['rtx3060', 'workers']))
  assert.is(worker?.card, 'rtx3060')
  assert.is(worker?.device, 'cuda:0')
  // Each thread has a cuBLAS handle of its own.
  assert.ok((worker?.workspaceBytes as number) > (main?.workspaceBytes as number))
  assert.is(refused?.code, 'ERR_CONFIG')
  assert.match(String(refused?.message), 'simulates another card already')
  const [first, second] = said(await simulate(['rtx3060', 'worker']))
  assert.is(first?.card, 'rtx3060')
  assert.is(second?.card, 'rtx3060')
})

test('workers that offload at the same time do not get into the order of each other', async () => {
  assert.equal(said(await simulate(['rtx3060', 'offloading'])), [{ unorderedUses: 0 }])
})

test('a process that has loaded LibTorch without a card has none any more', async () => {
  const [auto, refused] = said(await simulate(['rtx3060', 'cpuFirst']))
  assert.is(auto?.auto, 'cpu')
  assert.is(refused?.code, 'ERR_CONFIG')
  assert.match(String(refused?.message), 'loaded without a simulated card already')
  assert.match(String(refused?.hint), 'in a process of its own')
  const [inWorker] = said(await simulate(['rtx3060', 'cpuFirstInWorker']))
  assert.is(inWorker?.code, 'ERR_CONFIG')
  assert.match(String(inWorker?.message), 'has opened LibTorch without a simulated card')
})

test('auto takes the CPU, even where a card is simulated', async () => {
  const [step] = said(await simulate(['rtx3060', 'auto']))
  assert.is(step?.device, 'cpu')
  assert.is(step?.launches, 0)
})

test('a process may end in the middle of a step', async () => {
  const { code, signal, stderr } = await simulate(['rtx3060', 'exit'])
  assert.is(signal, null, stderr)
  assert.is(code, 7, stderr)
  assert.is(stderr, '')
})

test('where addresses are limited, the card has fewer or says that there are too few', async () => {
  const limited = (gib: number, card: string) =>
    runProgram('sh', [
      '-c',
      `ulimit -v ${gib * 2 ** 20} && exec "$0" "$@"`,
      process.execPath,
      fixture('simulate'),
      card,
    ])
  assert.equal(said(await limited(48, 'rtx3060'))[0], await stepOf('rtx3060'))
  const { code, signal, stderr } = await limited(48, 'h100')
  assert.is(signal, null, stderr)
  assert.is(code, 1, stderr)
  assert.match(stderr, 'ERR_ADDON_LOAD')
  assert.match(stderr, 'ulimit -v')
})

/** A LibTorch of links to the real one, without some of its libraries. */
function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-simulated-'))
  return work(folder).finally(() => rmSync(folder, { recursive: true, force: true }))
}

test('a LibTorch without the CUDA libraries says what to install', () =>
  withFolder(async (folder) => {
    mkdirSync(path.join(folder, 'lib'))
    for (const name of ['libc10.so', 'libtorch_cpu.so', 'libgomp.so.1']) {
      symlinkSync(path.join(LIBTORCH, 'lib', name), path.join(folder, 'lib', name))
    }
    writeFileSync(path.join(folder, 'version.py'), "__version__ = '2.11.0+cpu'\ncuda = None\n")
    const { code, stdout } = await simulate(['rtx3060', 'code'], { LOCALFORMER_LIBTORCH: folder })
    assert.is(code, 0)
    const { code: error, message, hint } = JSON.parse(stdout) as Said
    assert.is(error, 'ERR_LIBTORCH_NOT_FOUND')
    assert.match(String(message), 'libtorch_cuda.so')
    assert.match(String(hint), 'localformer libtorch install --flavor simulated')
  }))

test('a LibTorch of another version is refused', () =>
  withFolder(async (folder) => {
    symlinkSync(path.join(LIBTORCH, 'lib'), path.join(folder, 'lib'))
    writeFileSync(path.join(folder, 'version.py'), "__version__ = '2.10.0+cu130'\ncuda = '13.0'\n")
    const { stdout } = await simulate(['rtx3060', 'code'], { LOCALFORMER_LIBTORCH: folder })
    const { code, message } = JSON.parse(stdout) as Said
    assert.is(code, 'ERR_LIBTORCH_VERSION')
    assert.match(String(message), '2.10.0')
  }))

test('stand-ins that are missing, or no libraries, are an error of the addon', () =>
  withFolder(async (folder) => {
    await rejects(
      () => standIns(folder),
      'ERR_ADDON_LOAD',
      'liblocalformer_sim_cudart.so',
      'npm run native',
    )
    // A package with prebuilt binaries of which one is cut off.
    const root = path.join(folder, 'package')
    mkdirSync(root)
    cpSync(path.join(DIST, 'lib'), path.join(root, 'dist', 'lib'), { recursive: true })
    cpSync(path.join(DIST, 'test'), path.join(root, 'dist', 'test'), { recursive: true })
    cpSync(path.join(DIST, '../package.json'), path.join(root, 'package.json'))
    symlinkSync(path.join(DIST, '../node_modules'), path.join(root, 'node_modules'))
    const addon = path.join(root, 'prebuilds', 'linux-x64')
    cpSync(findAddon(), addon, { recursive: true })
    writeFileSync(path.join(addon, 'liblocalformer_sim_cudnn.so'), 'cut off')
    const script = path.join(root, 'dist/test/process/fixtures/simulate.js')
    const { stdout, stderr } = await run([script, 'rtx3060', 'code'])
    const { code, message } = JSON.parse(stdout || stderr) as Said
    assert.is(code, 'ERR_ADDON_LOAD')
    assert.match(String(message), 'liblocalformer_sim_cudnn.so')
  }))

test.run()
