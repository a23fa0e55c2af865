// A run as a script makes it: the folder that the command line keeps, and whoever reads it.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { TrainingConfigInput } from '../../../lib/config/schema.js'
import { type Dataset, defineDataset } from '../../../lib/datasets/dataset.js'
import { syntheticDataset } from '../../../lib/datasets/synthetic.js'
import * as memory from '../../../lib/device/memory.js'
import { evaluate } from '../../../lib/evaluate/evaluate.js'
import { predict } from '../../../lib/evaluate/predict.js'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import type { LogEntry } from '../../../lib/loggers/logger.js'
import { loadTorch } from '../../../lib/native/load.js'
import { writeReport } from '../../../lib/report/write-report.js'
import { loadRun } from '../../../lib/run-folder/load-run.js'
import { createRun } from '../../../lib/runs/create-run.js'
import { evaluateRun } from '../../../lib/runs/evaluate-run.js'
import { resumeRun } from '../../../lib/runs/resume-run.js'
import type { Run } from '../../../lib/runs/run.js'
import { readRunSummary } from '../../../lib/runs/run-summary.js'
import type { RunEvent } from '../../../lib/train/events.js'
import { loadWeights } from '../../../lib/weights/load-weights.js'
import { rejects, same } from '../../helpers/expect.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

loadTorch().setThreads(1)
const root = mkdtempSync(path.join(tmpdir(), 'localformer-runs-'))
test.after(() => rmSync(root, { recursive: true, force: true }))
const at = (...names: readonly string[]) => path.join(root, ...names)

/** Images that only this script has. */
const mine: Dataset = defineDataset({
  name: 'mine',
  classes: Array.from({ length: 10 }, (_, k) => `class ${k}`),
  train: { ...splitOf(40, 1), height: 32, width: 32 },
  test: { ...splitOf(16, 2), height: 32, width: 32 },
})

function splitOf(count: number, step: number) {
  const { images, labels } = byteBatch(count, step)
  return { images, labels: Uint8Array.from(labels) }
}

const LOOP = { epochs: 2, batchSize: 8, learningRate: 3e-3, ema: 0.5, checkpointSteps: 2, seed: 3 }

async function newTrainer(options: LocalOptions = {}): Promise<Trainer> {
  const model = await SwinTransformer.create({ ...TINY, dropPath: 0.3, seed: 7 })
  return LocalTrainer.create(model, { modules: 4, seed: 5, labelSmoothing: 0.1, ...options })
}

async function weightsOf({ model, trainer }: Pick<Run, 'model' | 'trainer'>): Promise<Tensors> {
  return { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) }
}

/** Figures that a run decides: no times, no sizes. */
function lossesIn(folder: string) {
  return readFileSync(at(folder, 'events.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'step')
    .map(({ step, modules }) => [step, modules.map((m: { labelLoss: number }) => m.labelLoss)])
}

const SYNTHETIC = {
  ...{ run: 'greedy:2', device: 'cpu', seed: 1 },
  model: { variant: 'micro' },
  training: { batchSize: 16, epochs: 2 },
} as const satisfies TrainingConfigInput
const synthetic = syntheticDataset({ trainCount: 48, testCount: 16 })

test('from a configuration: a folder with all that the command keeps, and its summary', async () => {
  const events: RunEvent[] = []
  await using run = await createRun(SYNTHETIC, { directory: at('config'), data: synthetic })
  assert.is((run as { then?: unknown }).then, undefined)
  for await (const event of run.events()) events.push(event)
  const summary = await run.finish()
  assert.equal(summary, run.summary)
  assert.equal(JSON.parse(JSON.stringify(summary)), await readRunSummary(at('config')))
  assert.is(summary.steps, 6)
  assert.is(summary.modules.length, 2)
  assert.is(events.at(-1)?.type, 'done')
  const names = readdirSync(at('config')).map((name) => name.replace(/\d+/, 'N'))
  assert.equal(names.sort(), [
    ...['.lock', 'checkpoints', 'config.json', 'events.jsonl'],
    ...['events.out.tfevents.N.localformer', 'metrics.csv', 'report.html', 'summary.json'],
    'weights.safetensors',
  ])
})

test('a script with images of its own: every reader takes the run', async () => {
  const trainer = await newTrainer({ method: 'paper', decoder: 'conv', decoderHidden: 16 })
  await using _model = trainer.model
  await using run = await createRun(
    { trainer, data: mine, options: LOOP },
    { directory: at('script') },
  )
  const summary = await run.finish()
  assert.is(summary.run, 'paper:4,decoder=conv,hidden=16,recompute=none')
  const { dataset, training, optimizer, seed } = JSON.parse(
    readFileSync(at('script', 'config.json'), 'utf8'),
  )
  assert.is(dataset.name, 'own')
  assert.equal([training.epochs, training.ema, optimizer.labelSmoothing, seed], [2, 0.5, 0.1, 3])

  const loaded = await loadRun(at('script'), 'cpu')
  await using _ = loaded.model
  assert.equal([loaded.dataset, loaded.classes], ['mine', mine.classes])
  const evaluation = await evaluateRun(loaded, mine)
  assert.is(evaluation.accuracy, summary.evaluation?.accuracy)
  assert.is(evaluation.loss, summary.evaluation?.loss)
  // The averaged weights are those of the run.
  assert.is((await evaluate(loaded.trainer, mine.test)).loss, evaluation.loss)
  const image = { images: mine.test.images.slice(0, 3 * 32 * 32), height: 32, width: 32 }
  const { classes, mean, std } = loaded
  const [guess] = await predict(loaded.trainer, [image], { classes, mean, std })
  assert.match(guess?.top[0]?.name ?? '', 'class ')

  const html = readFileSync(await writeReport(at('script'), { output: at('one.html') }), 'utf8')
  assert.match(html, 'paper:4,decoder=conv,hidden=16')
  await writeReport([at('config'), at('script')], { output: at('two.html') })
  assert.match(readFileSync(at('two.html'), 'utf8'), 'greedy:2')
  await using other = await SwinTransformer.create(TINY)
  const { loaded: names } = await loadWeights(other, at('script', 'weights.safetensors'))
  assert.ok(names.length > 0)
})

for (const how of ['configuration', 'parts'] as const) {
  test(`a run that was left goes on bit for bit, from its ${how}`, async () => {
    const whole = await newTrainer({ perModule: [null, { optimizer: 'sgd' }] })
    await using run = await createRun(
      { trainer: whole, data: mine, options: LOOP },
      { directory: at(`whole-${how}`) },
    )
    await run.finish()
    const trainer = await newTrainer({ perModule: [null, { optimizer: 'sgd' }] })
    const left = await createRun(
      { trainer, data: mine, options: LOOP },
      { directory: at(`left-${how}`) },
    )
    for await (const event of left.events()) if (event.type === 'step' && event.step === 7) break
    await left.dispose()
    trainer.model.dispose()

    const again =
      how === 'parts'
        ? { trainer: await newTrainer({ perModule: [null, { optimizer: 'sgd' }] }), options: LOOP }
        : {}
    await using resumed = await resumeRun(at(`left-${how}`), { data: mine, ...again })
    assert.is(resumed.startedFrom?.step, 6)
    await resumed.finish()
    same(await weightsOf(run), await weightsOf(resumed), 'weights')
    assert.equal(lossesIn(`left-${how}`), lossesIn(`whole-${how}`))
    whole.model.dispose()
    if (how === 'parts') resumed.model.dispose()
  })
}

test('a loop over the events that is left can be taken up again', async () => {
  await using run = await createRun(SYNTHETIC, { directory: at('taken-up'), data: synthetic })
  const steps: number[] = []
  for await (const event of run.events()) {
    if (event.type === 'step') steps.push(event.step)
    if (event.type === 'epoch') break
  }
  for await (const event of run.events()) if (event.type === 'step') steps.push(event.step)
  assert.equal(steps, [1, 2, 3, 4, 5, 6])
  assert.is((await run.finish()).steps, 6)
})

test('a signal stops between two steps, with a checkpoint', async () => {
  const controller = new AbortController()
  const options = { directory: at('stopped'), data: synthetic, signal: controller.signal }
  const run = await createRun(SYNTHETIC, options)
  const reason = new Error('enough')
  let thrown: unknown
  try {
    for await (const event of run.events()) {
      if (event.type === 'step' && event.step === 2) controller.abort(reason)
    }
  } catch (error) {
    thrown = error
  }
  assert.is(thrown, reason)
  await run.dispose()
  await rejects(() => run.finish(), 'ERR_DISPOSED', at('stopped'))
  await using resumed = await resumeRun(at('stopped'), { data: synthetic })
  assert.is(resumed.startedFrom?.step, 2)
  await resumed.finish()
  assert.equal(lossesIn('stopped'), lossesIn('config'))
})

test('a finished run is trained further, and says what its learning rate does', async () => {
  const config = { ...SYNTHETIC, training: { ...SYNTHETIC.training, warmup: 0 } }
  {
    await using run = await createRun(config, { directory: at('further'), data: synthetic })
    await run.finish()
  }
  {
    await using over = await resumeRun(at('further'), { data: synthetic })
    assert.is((await over.finish()).steps, 6)
  }
  await rejects(
    () => resumeRun(at('further'), { data: synthetic, epochs: 1 }).then((run) => run.finish()),
    'ERR_CONFIG',
    'at least 2, as the run had, for `epochs` but received 1',
  )
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  await rejects(
    () => resumeRun(at('further'), { data: synthetic, epochs: proxy as unknown as number }),
    'ERR_CONFIG',
    '`training.epochs`',
  )
  await using run = await resumeRun(at('further'), { data: synthetic, epochs: 4 })
  assert.is(run.summary, null)
  assert.not.ok(existsSync(at('further', 'summary.json')))
  // Half of a cosine's way: half of the rate.
  assert.match(run.warnings[0] ?? '', 'at step 6 and is trained further, to step 12')
  assert.match(run.warnings[0] ?? '', '5.0e-4 in the next step')
  const rates: number[] = []
  for await (const event of run.events()) if (event.type === 'step') rates.push(event.learningRate)
  assert.is(rates.length, 6)
  assert.is(rates[0]?.toFixed(9), (1e-3 / 2).toFixed(9))
  const summary = await run.finish()
  assert.is(summary.steps, 12)
  assert.is(JSON.parse(readFileSync(at('further', 'config.json'), 'utf8')).training.epochs, 4)
  assert.equal(
    lossesIn('further').map(([step]) => step),
    Array.from({ length: 12 }, (_, k) => k + 1),
  )
})

test('a sequential run becomes no longer, and is as it was when that is refused', async () => {
  const training = { batchSize: 16, epochs: 1, schedule: 'sequential' } as const
  const config = { ...SYNTHETIC, training }
  const directory = at('sequential')
  {
    await using run = await createRun(config, { directory, data: synthetic })
    for await (const event of run.events()) if (event.type === 'checkpoint') break
  }
  const before = readFileSync(at('sequential', 'config.json'), 'utf8')
  const longer = resumeRun(directory, { data: synthetic, epochs: 3 })
  await rejects(() => longer, 'ERR_CONFIG', 'cannot become longer')
  assert.is(readFileSync(at('sequential', 'config.json'), 'utf8'), before)
  await using run = await resumeRun(directory, { data: synthetic })
  assert.is((await run.finish()).steps, 6)
})

test('patience ends a run that does not get better; best follows the figure that is named', async () => {
  const training = { batchSize: 16, epochs: 9, learningRate: 0 }
  const stubborn = { ...SYNTHETIC, training: { ...training, best: 'test_loss', patience: 2 } }
  await using run = await createRun(stubborn, { directory: at('patient'), data: synthetic })
  const best: boolean[] = []
  for await (const event of run.events()) {
    if (event.type === 'checkpoint') best.push(event.isBest)
  }
  // With a rate of 0 every epoch's loss is the first one's.
  assert.equal(best, [true, false, false])
  const summary = await run.finish()
  assert.equal([summary.steps, summary.stoppedEarly], [9, true])
  await run.dispose()
  {
    await using over = await resumeRun(at('patient'), { data: synthetic })
    assert.equal((await over.finish()).steps, 9)
  }
  {
    await using same = await resumeRun(at('patient'), { data: synthetic, patience: 2 })
    assert.equal((await same.finish()).steps, 9)
  }
  await using longer = await resumeRun(at('patient'), { data: synthetic, patience: 4 })
  // Given anew: four epochs more.
  assert.is((await longer.finish()).steps, 21)

  const refuse = (more: object, ...parts: string[]) =>
    rejects(
      () =>
        createRun(
          { ...SYNTHETIC, training: { ...training, ...more } },
          { directory: at('never'), data: synthetic },
        ),
      'ERR_CONFIG',
      ...parts,
    )
  await refuse({ best: 'accuracy' }, 'test_accuracy, test_top5_accuracy, test_loss', '"accuracy"')
  await refuse({ best: 'module_3_label_loss' }, 'K from 1 to 2')
  await refuse({ patience: 2, schedule: 'sequential' }, '`patience`')
  assert.not.ok(existsSync(at('never')))
})

test('a loop of the script itself is kept, and goes on', async () => {
  const steps = (trainer: Trainer, run: Run, from: number, to: number) =>
    (async () => {
      for (let step = from; step <= to; step++) {
        run.record({ step: await trainer.step(byteBatch(8, step)), images: 8, learningRate: 1e-3 })
        if (step % 2 === 0) run.record({ epoch: step / 2, epochs: 4 })
      }
    })()
  const whole = await newTrainer()
  const heard: LogEntry[] = []
  await using run = await createRun(
    { trainer: whole, data: mine },
    { directory: at('own'), loggers: [{ name: 'mine', log: (entry) => heard.push(entry) }] },
  )
  await rejects(() => run.events().next(), 'ERR_CONFIG', 'run.record')
  await steps(whole, run, 1, 2)
  run.record({ evaluation: await evaluate(whole, mine.test) })
  run.record({ metrics: { 'calibration/ece': 0.25 } })
  await run.save({ best: true, epochEnded: true })
  assert.equal(
    heard.map(({ event }) => event.type),
    ['step', 'step', 'epoch', 'evaluation', 'metrics', 'checkpoint'],
  )
  assert.equal(heard[4]?.scalars, { 'calibration/ece': 0.25 })
  await rejects(() => run.record({ steps: 1 } as never), 'ERR_CONFIG', 'steps')
  await rejects(() => run.record({ metrics: { x: 'y' } } as never), 'ERR_CONFIG', 'metrics.x')
  await rejects(() => run.record({ step: {}, images: 1 } as never), 'ERR_CONFIG', '`step`')
  await steps(whole, run, 3, 4)

  // A copy of the folder stands for a process that was killed behind its save.
  const trainer = await newTrainer()
  await run.dispose()
  await rejects(() => resumeRun(at('own'), { data: mine }), 'ERR_USAGE', 'a loop of its own')
  await using resumed = await resumeRun(at('own'), { trainer, data: mine })
  assert.is(resumed.startedFrom?.step, 2)
  await steps(trainer, resumed, 3, 4)
  same(await weightsOf({ model: whole.model, trainer: whole }), await weightsOf(resumed), 'weights')
  const summary = await resumed.finish()
  assert.is(summary.steps, 4)
  assert.is(summary.evaluation?.count, 16)
  assert.ok(existsSync(at('own', 'checkpoints', 'best')))
  assert.ok(existsSync(at('own', 'report.html')))
  await writeReport(at('own'))
  const loaded = await loadRun(at('own'), 'cpu')
  assert.is(loaded.spec.text, 'paper:4,recompute=none')
  loaded.model.dispose()
  whole.model.dispose()
  trainer.model.dispose()
})

test('what cannot be a run is told before anything is made', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  const make = (subject: unknown, options: object = {}) =>
    createRun(subject as never, { directory: at('wrong'), ...options })
  await rejects(() => make(null), 'ERR_CONFIG', 'an object')
  await rejects(() => make({ trainer: 1, data: mine }), 'ERR_CONFIG', '`trainer`')
  await rejects(() => make({ trainer }), 'ERR_CONFIG', '`data`')
  await rejects(() => make({ trainer, data: mine, option: {} }), 'ERR_CONFIG', 'option')
  await rejects(() => make({ trainer, data: mine }, { logger: [] }), 'ERR_CONFIG', '"logger"')
  await rejects(
    () => make({ trainer, data: mine, options: { batchSize: 41 } }),
    'ERR_CONFIG',
    'batchSize',
  )
  assert.not.ok(existsSync(at('wrong')))
  await rejects(() => resumeRun(at('nothing')), 'ERR_CHECKPOINT', 'holds no run')
  await rejects(
    () => make({ trainer, data: mine }, { directory: at('config') }),
    'ERR_CONFIG',
    ['holds a finished run'][0] as string,
  )
  await using first = await make({ trainer, data: mine })
  await rejects(() => make({ trainer, data: mine }, { overwrite: true }), 'ERR_BUSY', at('wrong'))
  await rejects(() => first.save({ worst: true } as never), 'ERR_CONFIG', 'worst')
})

test('a folder that is taken away while the run goes on is told', async () => {
  await using run = await createRun(SYNTHETIC, { directory: at('gone'), data: synthetic })
  const end = async () => {
    for await (const event of run.events()) {
      if (event.type === 'step' && event.step === 1) rmSync(at('gone'), { recursive: true })
    }
  }
  await rejects(end, 'ERR_CHECKPOINT', 'was removed or replaced')
})

test('a step that fails leaves a checkpoint of those before it', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  const options = { epochs: 4, batchSize: 8, testLimit: 0 }
  await using run = await createRun({ trainer, data: mine, options }, { directory: at('failed') })
  const warnings: string[] = []
  const end = async () => {
    for await (const event of run.events()) {
      if (event.type === 'warning') warnings.push(event.message)
      if (event.type === 'step' && event.step === 7) memory.setLimit(memory.allocated('cpu') + 1024)
    }
  }
  try {
    await rejects(end, 'ERR_OUT_OF_MEMORY')
  } finally {
    memory.setLimit(0)
  }
  assert.match(warnings.join(), 'Step 8 failed')
  const { state } = JSON.parse(readFileSync(at('failed', 'checkpoints/last/state.json'), 'utf8'))
  assert.is(state.progress.step, 7)
})

/** What the folder holds of a run, the lock's text apart. */
const contents = (folder: string) =>
  ['config.json', 'summary.json', 'events.jsonl', 'metrics.csv'].map((name) =>
    existsSync(at(folder, name)) ? readFileSync(at(folder, name), 'utf8') : null,
  )

test('what is refused leaves a finished run as it was, and so does looking at it', async () => {
  {
    await using run = await createRun(SYNTHETIC, { directory: at('finished'), data: synthetic })
    await run.finish()
    // Its folder is free when it is over, in the same script too.
    await using over = await resumeRun(at('finished'), { data: synthetic })
    assert.equal(await over.finish(), JSON.parse(JSON.stringify(run.summary)))
    await rejects(() => over.save(), 'ERR_CONFIG', 'training loop')
  }
  const before = contents('finished')
  assert.match(before[2] ?? '', '"type":"done"')
  const other = syntheticDataset({ trainCount: 48, testCount: 16, seed: 9 })
  for (const [options, part] of [
    [{ data: other, epochs: 4 }, 'differs from its checkpoint: data.'],
    [{ data: synthetic, maxSteps: 2 }, '`maxSteps` but received 2'],
    [{ data: synthetic, epochs: 3, maxSteps: 2 }, '`maxSteps` but received 2'],
    [{ data: synthetic, options: { epochs: 9 } }, '`options` has no effect'],
    [{ data: synthetic, trainer: await newTrainer() }, 'not one of its own'],
  ] as const) {
    await rejects(() => resumeRun(at('finished'), options), 'ERR_CONFIG', part)
    assert.equal(contents('finished'), before, part)
  }
  rmSync(at('finished', 'checkpoints'), { recursive: true })
  const anew = createRun(SYNTHETIC, { directory: at('finished'), data: synthetic })
  await rejects(() => anew, 'ERR_CONFIG', 'holds a finished run')
})

test('a finished loop of the script itself stays what it is', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  await using run = await createRun({ trainer, data: mine }, { directory: at('own-done') })
  run.record({ step: await trainer.step(byteBatch(8)), images: 8 })
  const [first, second] = await Promise.all([run.finish(), run.finish()])
  assert.is(first, second)
  assert.is(first.modules.length, 4)
  await rejects(() => run.record({ metrics: { x: 1 } }), 'ERR_CONFIG', 'is over')
  const before = contents('own-done')
  {
    await using again = await resumeRun(at('own-done'), { trainer, data: mine })
    assert.is((await again.finish()).steps, 1)
  }
  await rejects(
    () => resumeRun(at('own-done'), { trainer, data: mine, options: LOOP }),
    'ERR_CONFIG',
    'a loop of the script itself',
  )
  assert.equal(contents('own-done'), before)
})

test('what could not be read again is not recorded', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  await using run = await createRun({ trainer, data: mine }, { directory: at('odd') })
  const step = await trainer.step(byteBatch(8))
  const refuse = (what: unknown, part: string) =>
    rejects(() => run.record(what as never), 'ERR_CONFIG', part)
  await refuse({ step: { modules: step.modules, seconds: 1 }, images: 8 }, '`step`')
  await refuse({ step: { ...step, peakAllocatedBytes: 0.5 }, images: 8 }, '`step`')
  await refuse({ step, images: 8, epoch: 'x' }, '`epoch`')
  await refuse({ step, images: 8, learningRate: Number.NaN }, '`learningRate`')
  await refuse({ evaluation: { count: 1, accuracy: Number.NaN, loss: 1, modules: [] } }, 'evaluate')
  run.record({ step, images: 8 })
  await run.save({ best: true, epochEnded: true })
  await run.dispose()
  await using again = await resumeRun(at('odd'), { trainer, data: mine })
  assert.is(again.startedFrom?.step, 1)
})

test('weights that are no numbers do not replace those that are', async () => {
  const trainer = await newTrainer()
  await using _ = trainer.model
  const options = { epochs: 4, batchSize: 8, testLimit: 0, checkpointSteps: 2 }
  await using run = await createRun({ trainer, data: mine, options }, { directory: at('nan') })
  const end = async () => {
    for await (const event of run.events()) {
      if (event.type !== 'step' || event.step !== 3) continue
      const bias = (await trainer.model.readParameters())['head.fc.bias'] as Tensors[string]
      const poisoned = { ...bias, data: bias.data.map(() => Number.NaN) }
      await trainer.model.writeParameters({ 'head.fc.bias': poisoned })
    }
  }
  await rejects(end, 'ERR_NON_FINITE', 'module 4')
  await rejects(() => run.finish(), 'ERR_NON_FINITE', 'module 4')
  const { state } = JSON.parse(readFileSync(at('nan', 'checkpoints/last/state.json'), 'utf8'))
  assert.is(state.progress.step, 2)
})

test('two that follow a run at once are told', async () => {
  await using run = await createRun(SYNTHETIC, { directory: at('two'), data: synthetic })
  const [one, other] = [run.events(), run.events()]
  const results = await Promise.allSettled([one.next(), other.next()])
  const failed = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  assert.is(failed.length, 1)
  assert.is(failed[0]?.reason.code, 'ERR_BUSY')
  assert.is((await run.finish()).steps, 6)
})

test('end-to-end training makes runs too', async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await BackpropTrainer.create(model, { recompute: 'block' })
  const options = { epochs: 1, batchSize: 20, testLimit: 8 }
  await using run = await createRun({ trainer, data: mine, options }, { directory: at('e2e') })
  assert.is((await run.finish()).run, 'backprop,recompute=block')
  const loaded = await loadRun(at('e2e'), 'cpu')
  same(await weightsOf(run), await weightsOf(loaded), 'weights')
  loaded.model.dispose()
})

test.run()
