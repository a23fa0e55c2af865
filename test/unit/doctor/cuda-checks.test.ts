// What `doctor` says of the addon's CUDA part and of the simulated device.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkCudaParts } from '../../../lib/doctor/cuda-checks.js'
import { CUDA_LIBRARY } from '../../../lib/libtorch/cuda-library.js'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import { makeSandbox, torchFiles, writeFiles } from '../../helpers/fake-libtorch.js'

const HEADERS = {
  'nvidia/cu13/include/cuda_runtime_api.h': '',
  'nvidia/cu13/include/crt/host_defines.h': '',
}

test('a row for the library where CUDA is there to be used, one for the simulated device', () => {
  const sandbox = makeSandbox()
  const addon = path.join(sandbox.folder, 'addon')
  writeFiles(addon, { 'localformer.node': '' })
  const locate = (name: string, cuda: string | null) => {
    writeFiles(path.join(sandbox.folder, name), { ...torchFiles('2.11.0', cuda), ...HEADERS })
    return locateLibtorch({ path: path.join(sandbox.folder, name) })
  }
  const cpu = locate('cpu', null)
  const simulated = locate('simulated', '13.0')
  const rows = (location: typeof cpu, hasDevice: boolean) =>
    checkCudaParts(location, addon, hasDevice).map(({ name, status }) => [name, status])

  assert.equal(rows(cpu, false), [['simulated device', 'warn']])
  const [library, device] = checkCudaParts(cpu, addon, true)
  assert.is(library?.name, 'cuda library')
  assert.match(library?.fix ?? '', '--flavor cuda && npm run native')
  assert.match(device?.fix ?? '', '--flavor simulated')

  const [missing, served] = checkCudaParts(simulated, addon, false)
  assert.equal(missing, {
    name: 'cuda library',
    status: 'warn',
    detail: `${CUDA_LIBRARY} is not in ${addon}`,
    fix: 'npm run native (in a checkout)',
  })
  assert.equal(served, {
    name: 'simulated device',
    status: 'ok',
    detail: 'served by LibTorch 2.11.0 (simulated)',
    fix: null,
  })
  writeFileSync(path.join(addon, CUDA_LIBRARY), '')
  assert.equal(rows(simulated, false), [
    ['cuda library', 'ok'],
    ['simulated device', 'ok'],
  ])
  // Without an addon there is another row that says so.
  assert.is(checkCudaParts(simulated, undefined, true).length, 1)
  sandbox.remove()
})

test.run()
