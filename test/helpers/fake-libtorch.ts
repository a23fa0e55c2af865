// Tiny stand-ins for LibTorch: wheels, official zips and folders with the real names in them, and a
// manifest that pins them. Each library is a valid, empty ELF file, so that all checks apply.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { deflateRawSync } from 'node:zlib'
import {
  FLAVORS,
  type Flavor,
  type LibtorchManifest,
  type WheelSpec,
} from '../../lib/libtorch/manifest.js'

export type Files = Readonly<Record<string, Buffer | string>>

export interface Sandbox {
  readonly folder: string
  /** The cache to pass to the functions under test. */
  readonly cache: string
  /** Names in the cache's LibTorch folder, hidden ones too. */
  cached(): string[]
  remove(): void
}

export function makeSandbox(): Sandbox {
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-test-'))
  const cache = path.join(folder, 'cache')
  return {
    folder,
    cache,
    cached() {
      try {
        return readdirSync(path.join(cache, 'libtorch')).sort()
      } catch {
        return []
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

export interface ElfOptions {
  /** `e_machine`; default x86-64. */
  readonly machine?: number
  /** Names for DT_NEEDED. */
  readonly needed?: readonly string[]
  /** Folders for DT_RUNPATH. */
  readonly searchPath?: readonly string[]
}

/** A 64-bit little-endian ELF file: without segments where it needs nothing. */
export function elf({ machine = 62, needed = [], searchPath = [] }: ElfOptions = {}): Buffer {
  const header = Buffer.alloc(64)
  header.writeUInt32BE(0x7f454c46, 0)
  header[4] = 2
  header[5] = 1
  header.writeUInt16LE(3, 16)
  header.writeUInt16LE(machine, 18)
  header.writeUInt16LE(56, 54)
  if (needed.length + searchPath.length === 0) return header
  header.writeBigUInt64LE(64n, 32)
  header.writeUInt16LE(2, 56)
  return Buffer.concat([header, ...dynamicParts(needed, searchPath)])
}

const DT = { needed: 1, stringTable: 5, stringSize: 10, runPath: 29 } as const

// Two program headers (one that loads the whole file, one of the dynamic section), the dynamic
// section and its strings, at the addresses that are their places in the file.
function dynamicParts(needed: readonly string[], searchPath: readonly string[]): Buffer[] {
  const texts = [...needed, ...(searchPath.length > 0 ? [searchPath.join(':')] : [])]
  const strings = Buffer.from(`\0${texts.map((text) => `${text}\0`).join('')}`)
  const at = (text: string) => strings.indexOf(`\0${text}\0`) + 1
  const start = 64 + 2 * 56
  const entries = needed.map((name): [number, number] => [DT.needed, at(name)])
  if (searchPath.length > 0) entries.push([DT.runPath, at(searchPath.join(':'))])
  const size = 16 * (entries.length + 3)
  entries.push([DT.stringTable, start + size], [DT.stringSize, strings.length], [0, 0])
  const dynamic = Buffer.alloc(size)
  for (const [index, [tag, value]] of entries.entries()) {
    dynamic.writeBigInt64LE(BigInt(tag), 16 * index)
    dynamic.writeBigUInt64LE(BigInt(value), 16 * index + 8)
  }
  return [
    programHeader(1, 0, start + size + strings.length),
    programHeader(2, start, size),
    dynamic,
    strings,
  ]
}

function programHeader(type: number, offset: number, size: number): Buffer {
  const segment = Buffer.alloc(56)
  segment.writeUInt32LE(type, 0)
  segment.writeBigUInt64LE(BigInt(offset), 8)
  segment.writeBigUInt64LE(BigInt(offset), 16)
  segment.writeBigUInt64LE(BigInt(size), 32)
  return segment
}

export function versionPy(version: string, cuda: string | null): string {
  const value = cuda === null ? 'None' : `'${cuda}'`
  return `from typing import Optional\n__version__ = '${version}'\ncuda: Optional[str] = ${value}\n`
}

// Of a version that no machine has installed elsewhere.
const CUBLAS_NAME = 'libcublas.so.99'
const NVIDIA_NEEDED = ['libcudart.so.13', CUBLAS_NAME]

/** What a torch wheel holds, with members that are to be left out. */
export function torchFiles(version = '2.11.0+cu130', cuda: string | null = '13.0'): Files {
  return {
    'torch/version.py': versionPy(version, cuda),
    'torch/__init__.py': 'raise ImportError',
    'torch/lib/libc10.so': elf(),
    'torch/lib/libtorch_cpu.so': elf(),
    'torch/lib/libgomp.so.1': elf(),
    'torch/lib/libtorch_python.so': elf(),
    ...(cuda !== null && {
      'torch/lib/libtorch_cuda.so': elf({ needed: ['libc10_cuda.so', ...NVIDIA_NEEDED] }),
      'torch/lib/libc10_cuda.so': elf({ needed: ['libcudart.so.13', 'libc.so.6'] }),
      'torch/lib/libtorch_cuda_linalg.so': elf({ needed: ['libcusolver.so.12'] }),
    }),
    'torch/include/torch/torch.h': '#pragma once\n',
    'torch/share/cmake/Torch/TorchConfig.cmake': '# config\n',
  }
}

/** The same as an official archive has it, under `libtorch/`. */
export function archiveFiles(version = '2.11.0+cpu'): Files {
  return {
    'libtorch/build-version': `${version}\n`,
    'libtorch/lib/libc10.so': elf(),
    'libtorch/lib/libtorch_cpu.so': elf(),
    'libtorch/lib/libgomp-1234abcd.so.1': elf(),
    'libtorch/include/torch/torch.h': '#pragma once\n',
  }
}

/** NVIDIA's libraries that libtorch_cuda.so of {@link torchFiles} needs, as pip lays them out. */
export const NVIDIA_FILES: Files = {
  'nvidia/cu13/lib/libcudart.so.13': elf(),
  [`nvidia/cu13/lib/${CUBLAS_NAME}`]: elf(),
}

const RUNTIME: Files = {
  'nvidia/cu13/lib/libcudart.so.13': elf(),
  'nvidia/cu13/lib/libcudart_static.a': 'static',
  'nvidia/cu13/include/cuda_runtime_api.h': '#pragma once\n',
}

const CRT: Files = { 'nvidia/cu13/include/crt/host_defines.h': '#pragma once\n' }

const CUBLAS: Files = { [`nvidia/cu13/lib/${CUBLAS_NAME}`]: elf() }

export interface FakeWheels {
  /** The folder with the wheels in it. */
  readonly folder: string
  readonly torch: string
  readonly manifest: LibtorchManifest
}

/** Writes a torch wheel and its companions into `folder`, and a manifest that pins them. */
export function makeWheels(folder: string, torch: Files = torchFiles()): FakeWheels {
  mkdirSync(folder, { recursive: true })
  const wheel = (
    project: string,
    version: string,
    files: Files,
    flavors: readonly Flavor[] = FLAVORS,
  ): WheelSpec => {
    const file = `${project.replaceAll('-', '_')}-${version}-py3-none-any.whl`
    const data = zip(files)
    writeFileSync(path.join(folder, file), data)
    const sha256 = createHash('sha256').update(data).digest('hex')
    return { project, version, file, sha256, sizeBytes: data.length, flavors }
  }
  const wheels = [
    wheel('torch', '2.11.0', torch),
    wheel('nvidia-cuda-runtime', '13.0.96', RUNTIME),
    wheel('nvidia-cuda-crt', '13.0.88', CRT, ['simulated', 'cuda']),
    wheel('nvidia-cublas', '13.1.0.3', CUBLAS, ['cuda']),
  ] as const
  const manifest: LibtorchManifest = {
    version: '2.11.0',
    cudaVersion: '13.0',
    pythonVersion: '3.12',
    platforms: ['any'],
    wheels,
    installedBytes: { cpu: 4096, simulated: 4096, cuda: 4096 },
  }
  return { folder, torch: path.join(folder, wheels[0].file), manifest }
}

export function writeFiles(folder: string, files: Files): void {
  for (const [name, data] of Object.entries(files)) {
    const file = path.join(folder, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, data)
  }
}

/**
 * A folder for PATH whose `python3` behaves like pip for these wheels and writes down its calls.
 * With `failing` it says that and fails.
 */
export function makePip(folder: string, wheels: string, failing?: string): string {
  mkdirSync(folder, { recursive: true })
  const script = `#!/bin/sh
echo "$*" >> "${folder}/calls"
found=0
for entry in ./*; do [ -e "$entry" ] && found=1; done
echo "$PWD $found $PYTHONSAFEPATH" >> "${folder}/places"
case "$*" in *--version) exit 0;; esac
${failing ? `echo "${failing}" >&2; exit 1` : ''}
for word in "$@"; do
  case "$word" in
    --dest=*) dest="\${word#--dest=}" ;;
    *==*) name="$(echo "\${word%%=*}" | tr - _)" ;;
  esac
done
cp "${wheels}/$name"-*.whl "$dest/"
`
  writeFileSync(path.join(folder, 'python3'), script)
  chmodSync(path.join(folder, 'python3'), 0o755)
  return folder
}

/** A zip archive of deflated members. */
export function zip(files: Files): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content)
    const packed = deflateRawSync(data)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(8, 4)
    common.writeUInt32LE(crc32(data), 10)
    common.writeUInt32LE(packed.length, 14)
    common.writeUInt32LE(data.length, 18)
    common.writeUInt16LE(Buffer.byteLength(name), 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(offset, 10)
    const made = Buffer.from([20, 3])
    directory.push(
      Buffer.concat([Buffer.from('PK\x01\x02'), made, common, tail, Buffer.from(name)]),
    )
    parts.push(local)
    offset += local.length
  }
  const central = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(directory.length, 8)
  end.writeUInt16LE(directory.length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...parts, central, end])
}

// zlib.crc32 came with Node.js 20.15, and tests run on 20.9 too.
function crc32(data: Buffer): number {
  let crc = ~0
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** Sets environment variables (undefined: unset) for the time of `work`. */
export async function withEnvironment<T>(
  variables: Readonly<Record<string, string | undefined>>,
  work: () => T | Promise<T>,
): Promise<T> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  for (const [name, value] of Object.entries(variables)) set(name, value)
  try {
    return await work()
  } finally {
    for (const [name, value] of before) set(name, value)
  }
}

/** Where the shell and its tools are, for a PATH without any Python. */
export function shellPath(folder: string): string {
  mkdirSync(folder, { recursive: true })
  for (const tool of ['sh', 'cp', 'tr', 'echo']) {
    const real = execFileSync('/bin/sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim()
    if (real.startsWith('/')) execFileSync('ln', ['-sf', real, path.join(folder, tool)])
  }
  return folder
}
