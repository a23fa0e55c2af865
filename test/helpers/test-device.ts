// The device of tests whose numbers hold on every device: LOCALFORMER_TEST_DEVICE, by default the CPU.
import { checkDeviceName, type DeviceName } from '../../lib/device/device.js'

const given: unknown = process.env.LOCALFORMER_TEST_DEVICE || 'cpu'
checkDeviceName(given)

export const TEST_DEVICE: DeviceName = given
