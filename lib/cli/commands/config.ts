// localformer config print | validate | schema: a training run's configuration, without training.
import type { Argv, CommandModule } from 'yargs'
import { readConfigFile } from '../../config/file.js'
import type { PresetName } from '../../config/preset-names.js'
import { PRESETS } from '../../config/presets.js'
import { resolveLayers } from '../../config/resolve.js'
import { configJsonSchema, configToYaml } from '../../config/text.js'
import { type Command, type GlobalOptions, printJson, printLine, printText } from '../command.js'
import { type ConfigArguments, configOf, configOptions } from '../config-flags.js'

const print: Command<ConfigArguments> = {
  command: 'print',
  describe: 'Print the whole configuration that a file, a preset and flags make',
  builder: (yargs) =>
    yargs
      .options(configOptions())
      .example('$0 config print --preset trgl > run.yaml', 'a file to change')
      .example('$0 config print --json', 'the same as JSON') as unknown as Argv<
      GlobalOptions & ConfigArguments
    >,
  async handler(options) {
    const { config } = await configOf(options)
    if (options.json) printJson(config)
    else printText((await configToYaml(config, headOf(options.preset))).trimEnd())
  },
}

function headOf(preset: PresetName | undefined): string {
  if (preset === undefined) return ''
  const { description, source } = PRESETS[preset]
  return `Preset ${preset}: ${description}.\nSource: ${source}`
}

interface ValidateArguments {
  file: string
}

const validate: Command<ValidateArguments> = {
  command: 'validate <file>',
  describe: 'Check a configuration file and name every problem; -: standard input',
  builder: (yargs) =>
    yargs.positional('file', {
      type: 'string',
      demandOption: true,
      describe: 'A YAML or JSON file',
    }) as unknown as Argv<GlobalOptions & ValidateArguments>,
  async handler({ file: given, json }) {
    // yargs makes an empty word of a lone -.
    const file = given === '' ? '-' : given
    const { config, placeOf } = await readConfigFile(file)
    const { run, dataset } = resolveLayers([config], placeOf).config
    if (json) printJson({ schema: 1, file, valid: true })
    else printLine(`${file === '-' ? 'Standard input' : file} is valid: ${run} on ${dataset.name}`)
  },
}

const schema: Command<object> = {
  command: 'schema',
  describe: 'Print the JSON Schema of a configuration file, for editors',
  builder: (yargs) =>
    yargs.example(
      '$0 config schema > schema.json',
      'then `# yaml-language-server: $schema=schema.json` on the first line of a YAML file',
    ),
  handler: () => printJson(configJsonSchema()),
}

export const configCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'config',
  describe: 'Print and check the configuration of a training run',
  builder: (yargs) =>
    yargs
      .command(print)
      .command(validate)
      .command(schema)
      .demandCommand(1, 'Expected print, validate or schema after `config`.'),
  handler() {},
}
