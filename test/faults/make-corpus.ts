// Writes test/faults/corpus: `node dist/test/faults/make-corpus.js`. A folder a kind of file; `good-*`
// has to be read, `bad-*` refused, and hostile-files.ts makes more of both of them.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateSync, gzipSync } from 'node:zlib'
import { PNG } from 'pngjs'
import { Header } from 'tar'
import { defineDataset } from '../../lib/datasets/dataset.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { metadataOf } from '../../lib/run-folder/run-metadata.js'
import { writeCheckpoint } from '../../lib/weights/checkpoint.js'
import { parameterList } from '../../lib/weights/parameter-list.js'
import { archiveFiles, elf, zip } from '../helpers/fake-libtorch.js'
import { closedFormula } from '../helpers/golden.js'
import { MatWriter } from '../helpers/mat-writer.js'
import { cifar100Files } from '../helpers/official-files.js'
import { pngChunk, pngFile } from '../helpers/png.js'

const CORPUS = fileURLToPath(new URL('../../../test/faults/corpus', import.meta.url))

type Files = Readonly<Record<string, Uint8Array | string>>

function safetensors(header: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const json = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, data])
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] })

/** A whole network, as small as one can be. */
async function network(file: string): Promise<void> {
  const config = {
    ...{ imageSize: 8, patchSize: 2, windowSize: 2, embedDim: 4, depths: [1, 1], heads: [1, 2] },
    ...{ mlpRatio: 1, dropPath: 0, classes: 3, seed: 0 },
  }
  const tensors = parameterList(config).map(({ name, shape }, stream) => {
    const count = shape.reduce((product, side) => product * side, 1)
    return [name, { shape, data: closedFormula(stream, count, 0, 0.5) }] as const
  })
  await writeCheckpoint(file, {
    tensors: Object.fromEntries(tensors),
    metadata: {
      ...{ model: JSON.stringify(config), dataset: 'mine', classes: '["a","b","c"]' },
      normalisation: '{"mean":[0.5,0.5,0.5],"std":[0.2,0.2,0.2]}',
    },
  })
}

/** Weights of a run, with heads and decoder, as small as they can be. */
async function runWeights(file: string): Promise<void> {
  const sizes = { imageSize: 8, patchSize: 2, windowSize: 2, embedDim: 4, mlpRatio: 1, classes: 3 }
  const network = { ...sizes, depths: [1, 1], heads: [1, 2], device: 'cpu' } as const
  await using model = await SwinTransformer.create(network)
  await using trainer = await LocalTrainer.create(model, { method: 'paper', modules: 2 })
  const split = {
    ...{ images: new Uint8Array(3 * 192).fill(7), labels: Uint8Array.of(0, 1, 2) },
    ...{ height: 8, width: 8 },
  }
  const classes = ['a', 'b', 'c']
  const std = [0.2, 0.2, 0.2] as const
  const data = defineDataset({ name: 'mine', classes, train: split, test: split, std })
  await writeCheckpoint(file, {
    tensors: { ...(await model.readParameters()), ...(await trainer.readAuxiliary()) },
    metadata: metadataOf({ trainer, data, run: trainer.spec, config: {} }),
  })
}

const SAFETENSORS: Files = {
  'good-types': safetensors(
    `{"a":${entry(0, 8)},"b":${entry(8, 12, [2, 1], 'F16')},"c":${entry(12, 20, [1], 'I64')},` +
      `"d":${entry(20, 20, [0, 5])},"__metadata__":{"x":"y"}}`,
    Buffer.alloc(20, 1),
  ),
  'bad-alias': safetensors(`{"a":${entry(0, 4)},"b":${entry(0, 4)}}`, Buffer.alloc(4)),
  'bad-overlap': safetensors(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, Buffer.alloc(12)),
  'bad-hole': safetensors(`{"a":${entry(0, 4)},"b":${entry(8, 12)}}`, Buffer.alloc(12)),
  'bad-rest': safetensors(`{"a":${entry(0, 4)}}`, Buffer.alloc(64)),
  'bad-twice': safetensors(`{"a":${entry(0, 4)},"\\u0061":${entry(0, 4)}}`, Buffer.alloc(4)),
  'bad-many-of-one': safetensors(
    `{${Array.from({ length: 100 }, (_, k) => `"t${k}":${entry(0, 64)}`).join(',')}}`,
    Buffer.alloc(64),
  ),
  'bad-shape': safetensors('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}'),
  'bad-length': Buffer.from('ffffffffffffff7f7b7d', 'hex'),
  'bad-metadata': safetensors('{"__metadata__":{"x":[1]}}'),
  'bad-deep': safetensors(`{"a":${'['.repeat(2000)}${']'.repeat(2000)}}`),
  'bad-utf8': Buffer.concat([safetensors('').fill(4, 0, 1), Buffer.from([0x7b, 0xff, 0xfe, 0x7d])]),
  'bad-pickle': Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(60, 8)]),
}

function picture(): Buffer {
  const png = new PNG({ width: 9, height: 7 })
  png.data.forEach((_, k) => {
    png.data[k] = (k * 31) % 256
  })
  return PNG.sync.write(png)
}

const IMAGES: Files = {
  'good-alpha.png': picture(),
  'good-interlaced.png': pngFile({ width: 11, height: 6, interlace: true }),
  'good-grey16.png': pngFile({ width: 5, height: 5, depth: 16, colorType: 0 }),
  'good-palette.png': pngFile({
    ...{ width: 8, height: 3, depth: 2, colorType: 3 },
    before: [pngChunk('PLTE', Buffer.alloc(12, 9))],
  }),
  'bad-bomb-interlaced.png': pngFile({
    ...{ width: 1, height: 1, interlace: true, rows: Buffer.alloc(16 * 2 ** 20) },
  }),
  'bad-bomb.png': pngFile({ width: 1, height: 1, rows: Buffer.alloc(4 * 2 ** 20) }),
  'bad-cut.png': picture().subarray(0, 60),
  'bad-short.png': pngFile({ width: 100, height: 100, rows: Buffer.alloc(50) }),
  'bad-huge.png': Buffer.concat([
    pngFile({ width: 1, height: 1 }).subarray(0, 8),
    pngChunk('IHDR', Buffer.from('7fffffff7fffffff0806000000', 'hex')),
    pngChunk('IDAT', deflateSync(Buffer.alloc(10))),
    pngChunk('IEND', Buffer.alloc(0)),
  ]),
  'bad-empty.png': Buffer.alloc(0),
}

const HEADER = 'libtorch/include/a.h'

/** The archive with another size of a member in its directory. */
function claiming(archive: Buffer, member: string, bytes: number): Buffer {
  const changed = Buffer.from(archive)
  // In the directory, which comes last, the name stands 46 bytes behind the head of its entry.
  changed.writeUInt32LE(bytes, changed.lastIndexOf(member) - 46 + 24)
  return changed
}

const ZIPS: Files = {
  'good-archive.zip': zip(archiveFiles()),
  'bad-file-and-folder.zip': zip({ ...archiveFiles(), [HEADER]: '', [`${HEADER}/b`]: '' }),
  'bad-twice.zip': zip({ ...archiveFiles(), [HEADER]: '', 'libtorch/include/./a.h': 'x' }),
  'bad-climbs.zip': zip({ ...archiveFiles(), 'libtorch/include/../../../../x': 'x' }),
  'bad-version.zip': zip({ ...archiveFiles(), 'libtorch/build-version': ' '.repeat(2 ** 20) }),
  'bad-bomb.zip': claiming(zip({ ...archiveFiles(), [HEADER]: 'x' }), HEADER, 2 ** 31 - 1),
  'bad-library.zip': zip({ ...archiveFiles(), 'libtorch/lib/libc10.so': elf({ machine: 3 }) }),
}

type TarEntry = readonly [string, Uint8Array, ('File' | 'SymbolicLink' | 'Directory')?]

function tarball(...entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(([name, data, type = 'File']) => {
    const header = new Header({
      ...{ path: name, size: data.length, type, mode: 0o644, mtime: new Date(0) },
      ...(type === 'SymbolicLink' ? { linkpath: '/etc/passwd', size: 0 } : {}),
    })
    header.encode()
    const padding = Buffer.alloc((512 - (data.length % 512)) % 512)
    return [header.block as Buffer, ...(type === 'File' ? [Buffer.from(data), padding] : [])]
  })
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]), { level: 9 })
}

function tarballs(): Files {
  const folder = 'cifar-100-binary'
  const [train, test] = [...cifar100Files()].map(([name, data]) => [`${folder}/${name}`, data])
  const both = [train, test] as unknown as [TarEntry, TarEntry]
  const name = (file: string) => `${folder}/${file}`
  return {
    'good-cifar100.tar.gz': tarball(...both),
    'good-more-in-it.tar.gz': tarball([name('x'), Buffer.alloc(9)], ...both, [
      name('coarse_label_names.txt'),
      Buffer.from('a'),
    ]),
    'bad-large.tar.gz': tarball(both[0], [name('test.bin'), Buffer.alloc(2 ** 22)]),
    'bad-twice.tar.gz': tarball(...both, both[1]),
    'bad-link.tar.gz': tarball(both[0], [name('test.bin'), Buffer.alloc(0), 'SymbolicLink']),
    'bad-climbs.tar.gz': tarball(both[0], ['../test.bin', both[1][1]]),
    'bad-names.tar.gz': tarball(...both, [name('fine_label_names.txt'), Buffer.alloc(2 ** 20)]),
    'bad-cut.tar.gz': tarball(...both).subarray(0, 600),
  }
}

const little = new MatWriter()
const images = {
  ...{ name: 'X', dimensions: [32, 32, 3, 2], matClass: 9, storage: 2 },
  data: new Uint8Array(2 * 3072),
}
const labels = {
  ...{ name: 'y', dimensions: [2, 1], matClass: 6, storage: 9, data: little.doubles(1, 10) },
}

const MATS: Files = {
  'good-plain.mat': little.file(little.array(images), little.array(labels)),
  'good-compressed.mat': little.file(
    little.compressed(little.array(images)),
    little.compressed(little.array(labels)),
  ),
  'bad-claims.mat': little.file(
    little.array({ ...images, claimed: 2 ** 31 }),
    little.array(labels),
  ),
  'bad-many.mat': little.file(
    little.array({ ...images, dimensions: [32, 32, 3, 2 ** 20] }),
    little.array(labels),
  ),
  'bad-lacks.mat': little.file(little.array(images)),
  'bad-header.mat': Buffer.alloc(128, 'x'),
}

const CONFIGS: Files = {
  'good-full.yaml':
    'run: paper:4\ndataset: {name: cifar10}\ntraining:\n  epochs: 3\nmodules: [null]\n',
  'good-alias.yaml': 'optimizer: &o {betas: [0.9, 0.99]}\nseed: 1\n',
  'bad-laughs.yaml': [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...[...'bcdefgh'].map((name, k) => {
      const before = '*'.concat('abcdefg'[k] ?? 'a')
      return `${name}: &${name} [${Array.from({ length: 9 }, () => before).join(', ')}]`
    }),
  ].join('\n'),
  'bad-deep.yaml': '['.repeat(2_000),
  'bad-names.yaml': '__proto__: {polluted: yes}\nconstructor: 1\ntoString: 2\n',
  'bad-types.json': '{"run": 1, "training": {"epochs": "3"}, "modules": {"length": 1e9}}',
  'bad-text.yaml': Buffer.from([0xff, 0xfe, 0x00, 0x01]),
  'bad-tag.yaml': 'run: !!js/function "function () {}"\n',
}

rmSync(CORPUS, { recursive: true, force: true })
const kinds: Readonly<Record<string, Files>> = {
  ...{
    safetensors: SAFETENSORS,
    png: IMAGES,
    zip: ZIPS,
    tar: tarballs(),
    mat: MATS,
    config: CONFIGS,
  },
}
for (const [kind, files] of Object.entries(kinds)) {
  mkdirSync(path.join(CORPUS, kind), { recursive: true })
  for (const [name, data] of Object.entries(files)) {
    const suffix = kind === 'safetensors' ? '.safetensors' : ''
    writeFileSync(path.join(CORPUS, kind, `${name}${suffix}`), data)
  }
}
await network(path.join(CORPUS, 'safetensors', 'good-network.safetensors'))
await runWeights(path.join(CORPUS, 'safetensors', 'good-run.safetensors'))
