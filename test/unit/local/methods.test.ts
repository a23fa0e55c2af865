// Run specs, splits and the learning rate: words in, plain values out.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { resolveLocalOptions, weightsOf } from '../../../lib/local/methods.js'
import { modulesOfSpec, parseRunSpec, pinSplit } from '../../../lib/local/run-spec.js'
import { resolveSplit, stageEnds } from '../../../lib/local/splits.js'
import { resolveSwinConfig } from '../../../lib/local/swin-transformer.js'
import { learningRateAt } from '../../../lib/train/schedule.js'

function configError(work: () => unknown, ...parts: readonly string[]): void {
  try {
    work()
  } catch (error) {
    assert.instance(error, LocalformerError)
    assert.is((error as LocalformerError).code, 'ERR_CONFIG')
    const text = `${(error as LocalformerError).message} ${(error as LocalformerError).hint ?? ''}`
    for (const part of parts) assert.match(text, part)
    return
  }
  assert.unreachable('nothing was thrown')
}

test('a run spec names method, modules and options', () => {
  const text =
    'paper:2,decoder=conv,split=2,hidden=64,chunk=4,a=0..2,dtype=bfloat16,precision=tf32,math=mkl'
  const spec = parseRunSpec(text)
  const given = {
    decoder: 'conv',
    split: [2],
    decoderHidden: 64,
    chunkSize: 4,
    labelWeight: [0, 2],
    dtype: 'bfloat16',
    precision: 'tf32',
    math: 'mkl',
  }
  assert.equal(spec.given, given)
  for (const [key, value] of Object.entries({ ...given, text, method: 'paper', modules: 2 })) {
    assert.equal(spec[key as keyof typeof spec], value, key)
  }
  assert.is(spec.recompute, 'none')
  assert.is(parseRunSpec('backprop,accumulate=2').precision, 'ieee')
  assert.is(parseRunSpec('backprop,accumulate=2').math, 'tuned')
})

test('methods are presets, and options go over them', () => {
  const losses = (text: string) => {
    const { target, decoder, distance, labelWeight, reconstructionWeight, penaltyWeight } =
      parseRunSpec(text)
    return [target, decoder, distance, labelWeight, reconstructionWeight, penaltyWeight]
  }
  assert.equal(losses('paper:4'), ['features', 'linear', 'mse', 1, 1, 0])
  assert.equal(losses('greedy:4'), ['none', 'linear', 'mse', 1, 1, 0])
  assert.equal(losses('trgl:4'), ['none', 'linear', 'mse', 1, 1, 0.05])
  assert.equal(losses('infopro:4'), ['image', 'infopro', 'bce', [0, 2], [6, 1], 0])
  assert.equal(losses('infopro:2'), ['image', 'infopro', 'bce', 1, 5, 0])
  assert.equal(losses('infopro:4,decoder=conv,distance=l1,b=1').slice(0, 5), [
    ...['image', 'conv', 'l1', [0, 2], 1],
  ])
  assert.equal(losses('paper:4,target=image,distance=bce').slice(0, 3), ['image', 'linear', 'bce'])
  // Another target has its own decoder and distance; the method's weights stay.
  assert.equal(losses('trgl:4,target=features'), ['features', 'linear', 'mse', 1, 1, 0.05])
  assert.equal(losses('infopro:4,target=features'), [
    'features',
    'linear',
    'mse',
    [0, 2],
    [6, 1],
    0,
  ])
})

test("a weight runs linearly over the modules that have auxiliary losses, as InfoPro's", () => {
  assert.equal(weightsOf([6, 1], 4).slice(0, 3), [6, 3.5, 1])
  assert.equal(weightsOf([5, 0], 2).slice(0, 1), [5])
  assert.equal(weightsOf(3, 3), [3, 3, 3])
})

test('a balanced split is written out where it must stay the same', () => {
  const spec = parseRunSpec('paper:2,split=balanced,decoder=conv')
  const pinned = pinSplit(spec, ['layers.0.blocks.0'])
  assert.is(pinned, 'paper:2,split=layers.0.blocks.0,decoder=conv')
  assert.equal(parseRunSpec(pinned).split, ['layers.0.blocks.0'])
  assert.is(pinSplit(parseRunSpec('paper:4'), ['x']), 'paper:4')
  const whole = parseRunSpec(pinSplit(parseRunSpec('paper:1,split=balanced'), []))
  assert.is(modulesOfSpec(whole, [2, 2]), 1)
})

test('the number of modules defaults to 4, and to 1 end to end', () => {
  assert.is(parseRunSpec('paper').modules, 4)
  assert.is(parseRunSpec('backprop').modules, 1)
})

test('what waits on the host is said by a run spec, but for backprop, which has one module', () => {
  const spec = 'paper:8,split=balanced,recompute=block,dtype=bfloat16,offload=modules'
  assert.is(parseRunSpec(spec).offload, 'modules')
  assert.is(parseRunSpec('paper').offload, 'none')
  configError(() => parseRunSpec('paper,offload=weights'), 'none, optimizer, modules', 'weights')
  configError(() => parseRunSpec('backprop,offload=optimizer'), 'offload')
})

test('a wrong run spec is told with what is allowed', () => {
  configError(() => parseRunSpec(''), 'backprop, paper, infopro, greedy, trgl')
  configError(() => parseRunSpec('papr:4'), 'papr:4', 'backprop, paper, infopro, greedy, trgl')
  configError(() => parseRunSpec('paper:0'), 'at least 1', '"0"')
  configError(() => parseRunSpec('paper:2.5'), '2.5')
  configError(() => parseRunSpec('paper:2:3'), 'METHOD[:K]')
  configError(() => parseRunSpec('backprop:2'), 'one module')
  configError(
    () => parseRunSpec('backprop,decoder=conv'),
    'decoder',
    'recompute, accumulate, dtype',
  )
  configError(
    () => parseRunSpec('paper:4,deocder=conv'),
    'deocder',
    'split, target, decoder, hidden',
  )
  configError(() => parseRunSpec('paper:4,decoder=mlp'), 'linear, conv', 'mlp')
  configError(() => parseRunSpec('paper:4,decoder=conv,decoder=linear'), 'twice')
  configError(() => parseRunSpec('paper:4,hidden='), 'decoderHidden')
})

test('unknown and wrong options are named with what is allowed', () => {
  configError(() => resolveLocalOptions({ modlues: 4 } as never), 'modlues', 'modules')
  configError(() => resolveLocalOptions({ labelSmoothing: 1 }), 'labelSmoothing', 'received 1')
  configError(() => resolveLocalOptions({ eps: 0 }), 'a number above 0', 'received 0')
  configError(() => resolveLocalOptions({ sample: 2 }), 'above 0, at most 1', 'received 2')
  configError(() => resolveLocalOptions({ modules: '4' } as never), 'modules', '"4"')
  configError(() => resolveLocalOptions(null as never), 'an object')
})

test('stages end behind their blocks, the last one behind the classifier', () => {
  assert.equal(stageEnds([2, 2, 6, 2]), [3, 6, 13, 17])
})

test('a split is cut behind stages', () => {
  const depths = [2, 2, 6, 2]
  assert.equal(resolveSplit('stages', 1, depths), [17])
  assert.equal(resolveSplit('stages', 2, depths), [3, 17])
  assert.equal(resolveSplit('stages', 4, depths), [3, 6, 13, 17])
  assert.equal(resolveSplit([2], 2, depths), [6, 17])
  assert.equal(resolveSplit([1, 3], 3, depths), [3, 13, 17])
})

test('a split names stages, units, or a module for each block', () => {
  const depths = [2, 2, 6, 2]
  assert.equal(resolveSplit(['stage2'], 2, depths), [6, 17])
  assert.equal(resolveSplit(['layers.0.blocks.0', 2], 3, depths), [2, 6, 17])
  assert.equal(resolveSplit('blocks', 12, depths), [2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 15, 17])
  assert.is(modulesOfSpec(parseRunSpec('paper,split=blocks'), depths), 12)
})

test('an impossible split says what is possible', () => {
  const depths = [2, 2, 6, 2]
  configError(() => resolveSplit('stages', 5, depths), '5 modules', 'at most 4 modules')
  configError(() => resolveSplit([2, 1], 3, depths), '[2,1]', 'rising')
  configError(() => resolveSplit([4], 2, depths), '1 to 3')
  configError(() => resolveSplit([1], 3, depths), 'makes 2 modules', 'not 3')
})

test('the window defaults to the largest that divides every map', () => {
  assert.is(resolveSwinConfig({ imageSize: 224 }).windowSize, 7)
  assert.is(resolveSwinConfig({ imageSize: 96 }).windowSize, 6)
  assert.is(resolveSwinConfig({ imageSize: 32 }).windowSize, 4)
})

test('the learning rate rises linearly, then falls as half a cosine to zero', () => {
  const schedule = { learningRate: 2, warmupSteps: 4, totalSteps: 12 }
  const rates = Array.from({ length: 13 }, (_, step) => learningRateAt(step, schedule))
  assert.equal(rates.slice(0, 5), [0.5, 1, 1.5, 2, 2])
  assert.is(Math.abs((rates[8] as number) - 1) < 1e-12, true)
  assert.is(Math.abs(rates[12] as number) < 1e-12, true)
})

test.run()
