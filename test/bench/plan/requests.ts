// What the bench asks of the process that tries steps.
import { resolveInput } from '../../../lib/config/resolve.js'
import type { DryRunRequest } from '../../../lib/plan/dry-run.js'
import { requestOf } from '../../../lib/plan/request.js'
import type { PlanCase } from './cases.js'

export const CLASSES = 10
export const MIB = 2 ** 20

export function configOfCase({ run, imageSize, batchSize }: PlanCase) {
  return resolveInput({ run, training: { batchSize }, model: { imageSize } })
}

export function requestOfCase(one: PlanCase, limitBytes = 0): DryRunRequest {
  return { ...requestOf(configOfCase(one), CLASSES), limitBytes }
}
