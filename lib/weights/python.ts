// The lines of Python that load a file into the package whose names it has, and prepare images as the
// network was trained on them. Names and numbers are read from the file's own metadata.
import type { SwinConfig } from '../local/swin-transformer.js'
import type { WrittenFormat } from './formats.js'
import type { TrainedOn } from './trained-on.js'

/** A text in Python: JSON's escapes are some of Python's. */
const text = (value: string) => JSON.stringify(value)
const list = (values: readonly number[]) => `[${values.join(', ')}]`

export function pythonFor(
  file: string,
  config: SwinConfig,
  format: WrittenFormat,
  { dataset, classes, mean }: TrainedOn,
): string {
  const { imageSize } = config
  // Photos of a folder are resized by sharp, all others as this package does.
  const filter = dataset === 'image-folder' ? 'lanczos' : 'bilinear'
  const known = mean !== null || classes !== null
  return [
    'import json',
    'from safetensors import safe_open',
    'from safetensors.torch import load_file',
    ...IMPORTS[format],
    '',
    `file = ${text(file)}`,
    NETWORKS[format](config),
    'model.load_state_dict(load_file(file))',
    'model.eval()',
    ...(known ? ['with safe_open(file, "pt") as opened:', '    metadata = opened.metadata()'] : []),
    ...(mean === null
      ? ['# The file does not say how its images were normalised: do as in training.']
      : TRANSFORMS[format](imageSize, filter)),
    ...(classes === null ? [] : ['classes = json.loads(metadata["classes"])']),
    ...(mean === null ? [] : ['# image: a PIL.Image in RGB']),
    ...(mean === null ? [] : ['# logits = model(transform(image).unsqueeze(0))']),
    ...(mean === null || classes === null ? [] : ['# classes[logits.argmax()]']),
  ].join('\n')
}

const IMPORTS: Readonly<Record<WrittenFormat, readonly string[]>> = {
  timm: [
    'from timm.data import create_transform',
    'from timm.models.swin_transformer import SwinTransformer',
  ],
  torchvision: [
    'from torchvision import transforms',
    'from torchvision.models.swin_transformer import SwinTransformer',
  ],
}

const NETWORKS: Readonly<Record<WrittenFormat, (config: SwinConfig) => string>> = {
  timm: ({ imageSize, patchSize, windowSize, embedDim, depths, heads, mlpRatio, classes }) =>
    `model = SwinTransformer(img_size=${imageSize}, patch_size=${patchSize}, ` +
    `window_size=${windowSize}, embed_dim=${embedDim}, depths=${list(depths)}, ` +
    `num_heads=${list(heads)}, mlp_ratio=${mlpRatio}, num_classes=${classes})`,
  torchvision: ({ patchSize, windowSize, embedDim, depths, heads, mlpRatio, classes }) =>
    `model = SwinTransformer(patch_size=${list([patchSize, patchSize])}, ` +
    `window_size=${list([windowSize, windowSize])}, embed_dim=${embedDim}, ` +
    `depths=${list(depths)}, num_heads=${list(heads)}, mlp_ratio=${mlpRatio}, num_classes=${classes})`,
}

/** The middle square of an image, resized to the input, scaled to 0..1 and normalised. */
const TRANSFORMS: Readonly<
  Record<WrittenFormat, (size: number, filter: 'bilinear' | 'lanczos') => readonly string[]>
> = {
  timm: (size, filter) => [
    `transform = create_transform((3, ${size}, ${size}), interpolation="${filter}", crop_pct=1.0,`,
    '                             **json.loads(metadata["normalisation"]))',
  ],
  torchvision: (size, filter) => [
    'transform = transforms.Compose([',
    `    transforms.Resize(${size}, transforms.InterpolationMode.${filter.toUpperCase()}),`,
    `    transforms.CenterCrop(${size}),`,
    '    transforms.ToTensor(),',
    '    transforms.Normalize(**json.loads(metadata["normalisation"])),',
    '])',
  ],
}
