// The one LibTorch of this package: its version, the wheels that make it up and what is kept of
// them. Sizes and sha256 as the package index gives them and as measured on the files. The pins of
// the nvidia wheels are those of torch's own metadata (Requires-Dist, through cuda-toolkit 13.0.2).

export const FLAVORS = ['cpu', 'simulated', 'cuda'] as const

/**
 * `cpu` keeps what a CPU run needs of the wheel; `simulated` adds the wheel's own CUDA libraries and
 * the CUDA headers, but none of NVIDIA's libraries; `cuda` adds those too.
 */
export type Flavor = (typeof FLAVORS)[number]

export interface WheelSpec {
  /** Name at the package index. */
  readonly project: string
  readonly version: string
  /** File name at the package index. */
  readonly file: string
  readonly sha256: string
  readonly sizeBytes: number
  /** The flavors that need it. */
  readonly flavors: readonly Flavor[]
}

export interface LibtorchManifest {
  /** LibTorch's version without a local suffix: `2.11.0` stands for `2.11.0+cu130` too. */
  readonly version: string
  /** CUDA version of the torch wheel, as its `version.py` says it. */
  readonly cudaVersion: string
  /** The Python that the torch wheel is for; only the name of the wheel depends on it. */
  readonly pythonVersion: string
  /** Platform tags to ask the pip client for; the oldest ones are those of the nvidia wheels. */
  readonly platforms: readonly string[]
  /** The torch wheel comes first. */
  readonly wheels: readonly WheelSpec[]
  /** Bytes of an installation, by flavor. */
  readonly installedBytes: Readonly<Record<Flavor, number>>
}

const ALL: readonly Flavor[] = FLAVORS
const HEADERS: readonly Flavor[] = ['simulated', 'cuda']
const CUDA: readonly Flavor[] = ['cuda']

export const MANIFEST: LibtorchManifest = {
  version: '2.11.0',
  cudaVersion: '13.0',
  pythonVersion: '3.12',
  platforms: [
    'manylinux_2_28_x86_64',
    'manylinux_2_27_x86_64',
    'manylinux_2_25_x86_64',
    'manylinux_2_18_x86_64',
    'manylinux_2_17_x86_64',
    'manylinux2014_x86_64',
    'manylinux_2_12_x86_64',
    'manylinux2010_x86_64',
    'manylinux_2_5_x86_64',
    'manylinux1_x86_64',
  ],
  wheels: [
    {
      project: 'torch',
      version: '2.11.0',
      file: 'torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl',
      sha256: '0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756',
      sizeBytes: 530_712_279,
      flavors: ALL,
    },
    {
      project: 'nvidia-cuda-cupti',
      version: '13.0.85',
      file: 'nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
      sha256: '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
      sizeBytes: 10_715_597,
      flavors: ALL,
    },
    {
      project: 'nvidia-cuda-runtime',
      version: '13.0.96',
      file: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
      sizeBytes: 2_243_632,
      flavors: ALL,
    },
    {
      project: 'nvidia-cublas',
      version: '13.1.0.3',
      file: 'nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl',
      sha256: 'ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171',
      sizeBytes: 423_133_236,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cuda-crt',
      version: '13.0.88',
      file: 'nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4',
      sizeBytes: 134_086,
      flavors: HEADERS,
    },
    {
      project: 'nvidia-cuda-nvrtc',
      version: '13.0.88',
      file: 'nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sha256: 'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
      sizeBytes: 90_215_200,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cudnn-cu13',
      version: '9.19.0.56',
      file: 'nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl',
      sha256: 'd20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf',
      sizeBytes: 366_066_321,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cufft',
      version: '12.0.0.61',
      file: 'nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
      sizeBytes: 214_085_489,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cufile',
      version: '1.15.1.6',
      file: 'nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44',
      sizeBytes: 1_223_672,
      flavors: CUDA,
    },
    {
      project: 'nvidia-curand',
      version: '10.4.0.35',
      file: 'nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc',
      sizeBytes: 59_544_258,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cusolver',
      version: '12.0.4.66',
      file: 'nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl',
      sha256: '0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112',
      sizeBytes: 200_941_980,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cusparse',
      version: '12.6.3.3',
      file: 'nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b',
      sizeBytes: 145_942_937,
      flavors: CUDA,
    },
    {
      project: 'nvidia-cusparselt-cu13',
      version: '0.8.0',
      file: 'nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl',
      sha256: '25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd',
      sizeBytes: 169_884_119,
      flavors: CUDA,
    },
    {
      project: 'nvidia-nccl-cu13',
      version: '2.28.9',
      file: 'nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl',
      sha256: 'e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42',
      sizeBytes: 196_493_177,
      flavors: CUDA,
    },
    {
      project: 'nvidia-nvjitlink',
      version: '13.0.88',
      file: 'nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
      sha256: '13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b',
      sizeBytes: 40_713_933,
      flavors: CUDA,
    },
    {
      project: 'nvidia-nvshmem-cu13',
      version: '3.4.5',
      file: 'nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
      sha256: '290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80',
      sizeBytes: 60_412_546,
      flavors: CUDA,
    },
    {
      project: 'nvidia-nvtx',
      version: '13.0.85',
      file: 'nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl',
      sha256: '4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4',
      sizeBytes: 148_047,
      flavors: CUDA,
    },
  ],
  installedBytes: { cpu: 524_000_000, simulated: 1_044_000_000, cuda: 3_830_000_000 },
}

/** The wheels of a flavor, the torch wheel first. */
export function wheelsOf(
  flavor: Flavor,
  manifest: LibtorchManifest = MANIFEST,
): readonly WheelSpec[] {
  return manifest.wheels.filter((wheel) => wheel.flavors.includes(flavor))
}

/** Bytes to download for a flavor. */
export function downloadBytes(flavor: Flavor, manifest: LibtorchManifest = MANIFEST): number {
  return wheelsOf(flavor, manifest).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

// What a CPU run loads: libtorch_cpu.so's needed libraries. The wheels built with CUDA need its
// runtime and profiler library even there; official archives bring both with a hash in the name.
const CPU_LIBRARY = /^torch\/lib\/lib(c10|torch_cpu|gomp|iomp5|cudart|cupti)\b[^/]*\.so[^/]*$/
const CPU_NVIDIA = /^nvidia\/[^/]+\/lib\/lib(cudart|cupti)\.so[^/]*$/
const HEADER_OR_CMAKE = /^torch\/(include|share\/cmake)\//
// What LibTorch's CUDA build has of its own: libtorch_cuda.so, what it needs and what it opens by name.
const TORCH_CUDA = /^torch\/lib\/lib(c10_cuda|torch_cuda|torch_cuda_linalg|torch_nvshmem)\.so$/
const VERSION = /^torch\/(version\.py|build-version)$/
const LICENSE = /^[^/]+\.dist-info\/licenses\//
// The libraries for Python link against it; static ones and device code are for compilers.
const CUDA_LIBRARY = /^(torch\/lib|nvidia\/[^/]+\/lib)\/(?!libtorch_python|libshm)[^/]+\.so[^/]*$/
const CUDA_HEADER = /^nvidia\/[^/]+\/include\//
const PYTHON = /\.pyc?$/

/** The wheels with the CUDA headers that the addon's CUDA part is built with. */
export const HEADER_PROJECTS: readonly string[] = ['nvidia-cuda-runtime', 'nvidia-cuda-crt']

/** One header of each of these wheels, by its path in an installation. */
export const CUDA_HEADERS: readonly string[] = [
  'nvidia/cu13/include/cuda_runtime_api.h',
  'nvidia/cu13/include/crt/host_defines.h',
]

/** What is kept of a wheel that is unpacked for its headers alone. */
export function isHeaderOrLicense(target: string): boolean {
  return CUDA_HEADER.test(target) || LICENSE.test(target)
}

/** Whether a file, by its path in an installation such as `torch/lib/libc10.so`, is kept. */
export function isKept(target: string, flavor: Flavor): boolean {
  if (VERSION.test(target)) return true
  if (PYTHON.test(target)) return false
  if (HEADER_OR_CMAKE.test(target) || LICENSE.test(target)) return true
  if (flavor === 'cuda') return CUDA_LIBRARY.test(target) || CUDA_HEADER.test(target)
  if (CPU_LIBRARY.test(target) || CPU_NVIDIA.test(target)) return true
  return flavor === 'simulated' && (TORCH_CUDA.test(target) || CUDA_HEADER.test(target))
}
