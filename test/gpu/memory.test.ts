// The tests of a CUDA device that need no arithmetic, on a real one. Without one all are skipped.
import { test as plain } from 'uvu'
import { cudaDeviceCount, whyNoCuda } from '../../lib/device/device.js'
import { testDevice } from '../helpers/device-tests.js'

const count = cudaDeviceCount()
if (count === 0) console.log(`SKIP: ${whyNoCuda()}`)
testDevice(count === 0 ? plain.skip : plain, count)

plain.run()
