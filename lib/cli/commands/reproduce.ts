// `localformer reproduce memory | accuracy`: the paper's claims, measured again.
import type { CommandModule } from 'yargs'
import type { GlobalOptions } from '../command.js'
import { reproduceAccuracyCommand } from './reproduce-accuracy.js'
import { reproduceMemoryCommand } from './reproduce-memory.js'

export const reproduceCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'reproduce',
  describe: "Measure the paper's claims again, with the quoted figures beside",
  builder: (yargs) =>
    yargs
      .command(reproduceMemoryCommand)
      .command(reproduceAccuracyCommand)
      .demandCommand(1, 'Expected memory or accuracy after `reproduce`.'),
  handler: () => {},
}
