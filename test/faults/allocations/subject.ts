// A network and its trainer, made the same way every time; everything that its next step depends on
// as values that can be compared and put back.

import type { ImageBatch } from '../../../lib/batch/batch.js'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { OptimizationOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import type { Trainer, TrainerState } from '../../../lib/local/trainer.js'
import { byteBatch, floatBatch } from '../../helpers/tiny.js'
import { type Case, NETWORK } from './cases.js'

const COUNT = 3

const AUGMENT = {
  flip: true,
  cropPadding: 2,
  randAugmentOps: 1,
  erasing: 0.5,
  mixup: 0.5,
  cutmix: 0.5,
  seed: 3,
} as const

/** What {@link Subject.restore} puts back. */
export interface Saved {
  readonly network: Tensors
  readonly auxiliary: Tensors
  readonly state: TrainerState
}

export class Subject {
  readonly model: SwinTransformer
  readonly trainer: Trainer
  readonly #case: Case

  private constructor(model: SwinTransformer, trainer: Trainer, one: Case) {
    this.model = model
    this.trainer = trainer
    this.#case = one
  }

  /** After one step, so that every state of the optimizers is set. */
  static async create(one: Case): Promise<Subject> {
    const model = await SwinTransformer.create(NETWORK)
    const trainer =
      one.method === 'backprop'
        ? await BackpropTrainer.create(model, one.options as OptimizationOptions)
        : await LocalTrainer.create(model, one.options)
    if (one.averages) await trainer.keepAverage(0.9)
    const subject = new Subject(model, trainer, one)
    await subject.step()
    return subject
  }

  static batch(one: Case): ImageBatch {
    return one.batch === undefined || one.batch === 'floats'
      ? floatBatch(COUNT, 0, NETWORK.imageSize)
      : { ...byteBatch(COUNT, 0, NETWORK.imageSize), augment: AUGMENT }
  }

  /** A step of the first `modules` modules, or of all; always on the same batch. */
  async step(modules = this.trainer.modules.length): Promise<void> {
    const { clipNorm, timeline = false } = this.#case
    const options = {
      timeline,
      ...(clipNorm === undefined ? {} : { clipNorm }),
      ...(modules < this.trainer.modules.length
        ? { learningRate: Array.from({ length: modules }, () => 1e-3) }
        : {}),
    }
    const batch = Subject.batch(this.#case)
    if (this.#case.batch !== 'prepared') {
      await this.trainer.step(batch, options)
      return
    }
    using prepared = await this.trainer.prepare(batch)
    await this.trainer.step(prepared, options)
  }

  /** Weights, averages, the optimizers' state and the random numbers, by name. */
  async values(): Promise<Tensors> {
    const { tensors, generator } = await this.trainer.readState()
    const bytes = new Float32Array(generator.slice().buffer)
    return {
      ...(await this.model.readParameters()),
      ...(await this.trainer.readAuxiliary()),
      ...tensors,
      generator: { shape: [bytes.length], data: bytes },
    }
  }

  async save(): Promise<Saved> {
    return {
      network: await this.model.readParameters(),
      auxiliary: await this.trainer.readAuxiliary(),
      state: await this.trainer.readState(),
    }
  }

  async restore({ network, auxiliary, state }: Saved): Promise<void> {
    await this.model.writeParameters(network)
    await this.trainer.writeAuxiliary(auxiliary)
    await this.trainer.writeState(state)
  }

  dispose(): void {
    this.model.dispose()
  }
}
