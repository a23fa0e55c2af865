// Every command, in the order in which `--help` lists them.
import type { CommandModule } from 'yargs'
import type { GlobalOptions } from '../command.js'
import { compareCommand } from './compare.js'
import { configCommand } from './config.js'
import { datasetCommand } from './dataset.js'
import { doctorCommand } from './doctor.js'
import { evaluateCommand } from './evaluate.js'
import { libtorchCommand } from './libtorch.js'
import { memoryCommand } from './memory.js'
import { planCommand } from './plan.js'
import { predictCommand } from './predict.js'
import { reportCommand } from './report.js'
import { reproduceCommand } from './reproduce.js'
import { summaryCommand } from './summary.js'
import { trainCommand } from './train.js'
import { weightsCommand } from './weights.js'

export const commands: readonly CommandModule<GlobalOptions, GlobalOptions>[] = [
  trainCommand as never,
  evaluateCommand as never,
  predictCommand as never,
  reportCommand as never,
  compareCommand as never,
  reproduceCommand,
  planCommand as never,
  summaryCommand as never,
  memoryCommand,
  configCommand,
  weightsCommand,
  datasetCommand,
  libtorchCommand,
  doctorCommand as never,
]
