// localformer weights info | convert: prints what lib/weights does. Neither needs LibTorch.
import type { Argv, CommandModule } from 'yargs'
import { convertWeights } from '../../weights/convert-weights.js'
import {
  FORMATS,
  type WeightFormat,
  WRITTEN_FORMATS,
  type WrittenFormat,
} from '../../weights/formats.js'
import { inspectWeights } from '../../weights/inspect-weights.js'
import type { TrainedOn } from '../../weights/trained-on.js'
import { weightsFileOf } from '../../weights/weights-file.js'
import {
  type Command,
  type GlobalOptions,
  note,
  printJson,
  printLine,
  printText,
} from '../command.js'

interface InfoArguments {
  file: string
}

const info: Command<InfoArguments> = {
  command: 'info <file>',
  describe: 'Say what a safetensors file holds: names, sizes, classes',
  builder: (yargs) =>
    yargs.positional('file', {
      type: 'string',
      demandOption: true,
      describe: 'A safetensors file',
    }) as unknown as Argv<GlobalOptions & InfoArguments>,
  async handler(options) {
    const found = await inspectWeights(options.file)
    if (options.json) return printJson({ schema: 1, file: options.file, ...found })
    const { format, description, network, tensors, parameters, dropped } = found
    const dtypes = Object.entries(found.dtypes).map(([dtype, count]) => `${dtype}: ${count}`)
    printLine(`${options.file}: ${description}`)
    printLine(`names       ${format ?? 'of none that can be loaded'}`)
    printLine(`parameters  ${parameters.toLocaleString('en-US')} in ${tensors} tensors`)
    printLine(`types       ${dtypes.join(', ')}${dropped > 0 ? `; ${dropped} not loaded` : ''}`)
    if (network) {
      const { windowSize, imageSize, classes } = network
      printLine(`classes     ${classes ?? 'no classifier'}`)
      printLine(`window      ${windowSize}, as of ${imageSize} px`)
    }
    printTrainedOn(found.trainedOn)
  },
}

function printTrainedOn({ dataset, classes, mean, std }: TrainedOn): void {
  if (dataset !== null) printLine(`trained on  ${dataset}`)
  if (mean !== null) {
    printLine(`normalised  mean ${mean.join(' ')}, std ${(std ?? []).join(' ')}`)
  }
  if (classes === null) return
  const shown = classes.slice(0, SHOWN_CLASSES).join(', ')
  const more = classes.length > SHOWN_CLASSES ? `, and ${classes.length - SHOWN_CLASSES} more` : ''
  printLine(`class names ${shown}${more}`)
}

const SHOWN_CLASSES = 10

interface ConvertArguments {
  file: string
  output: string
  format: WeightFormat | 'auto'
  to: WrittenFormat
  imageSize: number | undefined
  windowSize: number | undefined
  strict: boolean
  allowNonFinite: boolean
}

const convert: Command<ConvertArguments> = {
  command: 'convert <file> <output>',
  describe: "Write a file's Swin with timm's or torchvision's names",
  builder: (yargs) =>
    yargs
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'A safetensors file, or the folder of a run',
      })
      .positional('output', {
        type: 'string',
        demandOption: true,
        describe: 'The file that is written',
      })
      .option('format', {
        choices: ['auto', ...FORMATS] as const,
        default: 'auto',
        requiresArg: true,
        describe: 'Whose names the file has',
      })
      .option('to', {
        choices: WRITTEN_FORMATS,
        default: 'timm',
        requiresArg: true,
        describe: 'Whose names are written',
      })
      .option('image-size', {
        type: 'number',
        requiresArg: true,
        defaultDescription: 'as the bias tables of the file say',
        describe: 'Side of the input in pixels; bias tables are resized where the window differs',
      })
      .option('window-size', {
        type: 'number',
        requiresArg: true,
        defaultDescription: "the file's, or with --image-size the largest that fits",
        describe: 'Side of an attention window in tokens',
      })
      .option('strict', {
        type: 'boolean',
        default: true,
        describe: '--no-strict leaves out tensors that are no part of a Swin',
      })
      .option('allow-non-finite', {
        type: 'boolean',
        default: false,
        describe: 'Take values that are no finite numbers, too',
      })
      .example('$0 weights convert a.safetensors b.safetensors', "to timm's names")
      .example('$0 weights convert a.safetensors b.safetensors --to torchvision', 'to others')
      .example(
        '$0 weights convert a.safetensors b.safetensors --image-size 96',
        'bias tables for window 6',
      ) as unknown as Argv<GlobalOptions & ConvertArguments>,
  async handler(options) {
    const { output, format, to, imageSize, windowSize, strict, allowNonFinite } = options
    const file = await weightsFileOf(options.file)
    const result = await convertWeights(file, output, {
      ...{ format, to, strict, allowNonFinite },
      ...(imageSize === undefined ? {} : { imageSize }),
      ...(windowSize === undefined ? {} : { windowSize }),
    })
    if (options.json) return printJson({ schema: 1, file, output, to, ...result })
    const { config, loaded, resized, unexpected } = result
    printLine(`${output}: ${loaded.length} parameters with the names of ${to}`)
    printLine(
      `${config.imageSize} px, window ${config.windowSize}, ${config.classes} classes` +
        `${resized.length > 0 ? `; ${resized.length} bias tables resized` : ''}`,
    )
    if (unexpected.length > 0) {
      note(options, `Left out ${unexpected.length}: ${unexpected.slice(0, 10).join(', ')}`)
    }
    printText(`\nIn Python:\n\n${result.python}`)
  },
}

export const weightsCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'weights',
  describe: 'Look at weights of other packages, and rename and resize them',
  builder: (yargs) =>
    yargs
      .command(info)
      .command(convert)
      .demandCommand(1, 'Expected info or convert after `weights`.'),
  handler() {},
}
