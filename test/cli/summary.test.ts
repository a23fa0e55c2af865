// `localformer summary`: needs LibTorch and the addon, found as everywhere.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))

interface Module {
  name: string
  units: string[]
  parameters: number
  auxiliaryParameters: number
  reconstructs: boolean
  weightBytes: number
  optimizerBytes: number
}

function summary(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'summary', ...args], {
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr, json: () => JSON.parse(stdout) }
}

function total<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0)
}

test('lists the units of Swin-Tiny with their shapes and the published number of parameters', () => {
  const { code, json, stderr } = summary('--device', 'cpu', '--classes', '1000', '--json')
  assert.is(code, 0, stderr)
  const { schema, variant, device, units, parameters, runs } = json()
  assert.is(schema, 1)
  assert.is(variant, 'tiny')
  assert.is(device, 'cpu')
  // timm's swin_tiny_patch4_window7_224.
  assert.is(parameters, 28_288_354)
  assert.is(
    total(units as { parameters: number }[], (unit) => unit.parameters),
    parameters,
  )
  assert.is(units.length, 17)
  assert.equal(units[0], { name: 'patch_embed', outputShape: [56, 56, 96], parameters: 4896 })
  assert.equal(units.at(-2).outputShape, [7, 7, 768])
  assert.equal(units.at(-1).outputShape, [1000])
  assert.equal(runs, [])
})

test('--run shows the modules, which together hold every unit once', () => {
  const { code, json, stderr } = summary(
    ...['--variant', 'micro', '--image-size', '32', '--device', 'cpu', '--json'],
    ...['--run', 'paper:4', '--run', 'greedy:2,split=2', '--run', 'backprop'],
  )
  assert.is(code, 0, stderr)
  const { units, parameters, runs } = json()
  assert.equal(
    runs.map((run: { spec: string; method: string; split: string; decoder: string | null }) => [
      run.spec,
      run.method,
      run.split,
      run.decoder,
    ]),
    [
      ['paper:4', 'paper', 'stages', 'linear'],
      ['greedy:2,split=2', 'greedy', '2', null],
      ['backprop', 'backprop', 'stages', null],
    ],
  )
  const names = units.map((unit: { name: string }) => unit.name)
  for (const { modules, residentBytes } of runs as { modules: Module[]; residentBytes: number }[]) {
    assert.equal(
      modules.flatMap((module) => module.units),
      names,
    )
    assert.is(
      total(modules, (module) => module.parameters),
      parameters,
    )
    const last = modules.at(-1) as Module
    assert.is(last.auxiliaryParameters, 0)
    assert.not(last.reconstructs)
    for (const { parameters: own, auxiliaryParameters, weightBytes, optimizerBytes } of modules) {
      assert.is(weightBytes, 4 * (own + auxiliaryParameters))
      assert.is(optimizerBytes, 2 * weightBytes)
    }
    // What is measured holds the weights and the optimizers, and little beside them.
    const held = total(modules, (module) => module.weightBytes + module.optimizerBytes)
    assert.ok(residentBytes >= held, `${residentBytes} < ${held}`)
    assert.ok(residentBytes < 1.5 * held, `${residentBytes} >= 1.5 * ${held}`)
  }
  const [paper, greedy, backprop] = runs
  assert.equal(
    paper.modules.map((module: Module) => module.reconstructs),
    [true, true, true, false],
  )
  assert.is(greedy.modules.length, 2)
  assert.ok(greedy.modules[0].units.at(-1).startsWith('layers.1.'))
  assert.is(backprop.modules.length, 1)
  assert.ok(paper.residentBytes > backprop.residentBytes, 'heads and decoders are counted')
})

test('prints tables with totals as text', () => {
  const options = ['--variant', 'micro', '--image-size', '32', '--device', 'cpu']
  const { code, stdout, stderr } = summary(...options, '--run', 'paper:2')
  assert.is(code, 0, stderr)
  assert.match(stdout, /^Swin micro: 32 px, patch 4, window 4, 10 classes, on cpu: as asked for$/m)
  assert.match(stdout, /^patch_embed +8 x 8 x 32 +1,632$/m)
  assert.match(stdout, /^paper:2: paper, 2 modules, split stages, decoder linear; .* resident/m)
  assert.match(stdout, /^module 1 +patch_embed \.\. layers\.0\.blocks\.0 \(2\) /m)
  assert.is(stdout.match(/^total /gm)?.length, 2)
})

test('a size that does not divide is an error that says which does', () => {
  const { code, stdout, stderr } = summary('--image-size', '224', '--window-size', '5', '--json')
  assert.is(code, 2)
  const { error } = JSON.parse(stdout)
  assert.is(error.code, 'ERR_CONFIG')
  assert.match(error.message, /`windowSize` but received window 5 for a map of 56 x 56/)
  assert.match(stderr, /224 px goes with window 7/)
})

test.run()
