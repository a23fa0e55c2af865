// What the weights of a run say of themselves: enough to build the network and its auxiliary parts again,
// and to give it the pixels that it knows.

import { LocalformerError } from '../base/errors.js'
import { RUN_SCHEMA } from '../base/run-files.js'
import type { Dataset, Rgb } from '../datasets/dataset.js'
import { parseRunSpec, type RunSpec } from '../local/run-spec.js'
import type { SwinConfig } from '../local/swin-transformer.js'
import type { Trainer } from '../local/trainer.js'
import { readTrainedOn } from '../weights/trained-on.js'
import { otherSchema } from './refusals.js'

/** What a run is. */
export interface RunSubject {
  readonly trainer: Trainer
  readonly data: Dataset
  /** Run spec with its cuts written out. */
  readonly run: string
  /** As config.json keeps it. */
  readonly config: object
}

export interface RunMetadata {
  readonly config: SwinConfig
  readonly spec: RunSpec
  /** Name of the data set that it was trained on. */
  readonly dataset: string
  readonly classes: readonly string[]
  /** Of each channel over the training images, pixels in 0..1. */
  readonly mean: Rgb
  /** Standard deviation of the same. */
  readonly std: Rgb
}

/** As safetensors keeps it: texts by name. */
export function metadataOf({ trainer, run, data }: RunSubject): Record<string, string> {
  return {
    schema: String(RUN_SCHEMA),
    // In one order, however the network was made.
    model: JSON.stringify(trainer.model.config, Object.keys(trainer.model.config).sort()),
    run,
    dataset: data.name,
    classes: JSON.stringify(data.classes),
    normalisation: JSON.stringify({ mean: data.mean, std: data.std }),
  }
}

/** @throws {LocalformerError} `ERR_CHECKPOINT` where it is not of a run, or of another version's. */
export function readMetadata(
  file: string,
  metadata: Readonly<Record<string, string>>,
): RunMetadata {
  const { schema } = metadata
  if (schema !== undefined && schema !== String(RUN_SCHEMA)) throw otherSchema(file, schema)
  try {
    const { dataset, classes, mean, std } = readTrainedOn(metadata)
    if (classes === null || mean === null || std === null) throw new Error('it says too little')
    return {
      // Its sizes are checked where the network is made.
      config: JSON.parse(metadata.model ?? '') as SwinConfig,
      spec: parseRunSpec(metadata.run ?? ''),
      ...{ dataset: dataset ?? '', classes, mean, std },
    }
  } catch (cause) {
    throw new LocalformerError('ERR_CHECKPOINT', `${file} was not written by a run`, {
      cause,
      hint: 'Its metadata lacks the model, the run spec or the normalisation: name a run folder.',
    })
  }
}
