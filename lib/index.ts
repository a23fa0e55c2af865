// The package's public surface. Importing it loads neither the addon nor LibTorch.

export type { Augmentation } from './augmentation.js'
export type { UnitCost } from './balance.js'
export type { ImageBatch, SplitBatch } from './batch.js'
export {
  type Checkpoint,
  type CheckpointToWrite,
  type ReadCheckpoint,
  readCheckpoint,
  type TensorInfo,
  type WrittenFile,
  writeCheckpoint,
} from './checkpoint.js'
export { createTraining, type Training } from './config/create.js'
export { readConfig } from './config/file.js'
export type { PresetName } from './config/preset-names.js'
export { PRESETS, type Preset } from './config/presets.js'
export { resolveConfig } from './config/resolve.js'
export type { TrainingConfig, TrainingConfigInput } from './config/schema.js'
export { configJsonSchema, configToYaml } from './config/text.js'
export * as cuda from './cuda.js'
export {
  type Batch,
  batchCount,
  batches,
  type Dataset,
  type DatasetDefinition,
  defineDataset,
  type ImageSplit,
} from './datasets/dataset.js'
export { type OpenOptions, openDataset } from './datasets/open.js'
export type { DeviceName } from './device.js'
export { ERROR_CODES, type ErrorCode, LocalformerError } from './errors.js'
export {
  type DetailedEvaluation,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  type HeadEvaluation,
} from './evaluate.js'
export type { Features } from './features.js'
export * as memory from './memory.js'
export {
  DECODERS,
  type DecoderKind,
  DISTANCES,
  type Distance,
  DTYPES,
  type Dtype,
  HEADS,
  type HeadKind,
  type LocalOptions,
  METHODS,
  type Method,
  type OptimizationOptions,
  type OptimizerOptions,
  type Recompute,
  TARGETS,
  type Target,
  type Weight,
} from './methods.js'
export type {
  ModuleOptimizer,
  ModuleStep,
  ModuleStepOptions,
  ModuleTrainer,
} from './module-trainer.js'
export { type LoadOptions, load } from './native/load.js'
export { type Image, type Prediction, type PredictOptions, predict } from './predict.js'
export type { PreparedBatch, PreparedContent } from './prepared-batch.js'
export { type ReadImageOptions, readImage } from './read-image.js'
export { type MeasureTimelinesOptions, measureTimelines } from './report/measure-timelines.js'
export { type WriteReportOptions, writeReport } from './report/write-report.js'
export { CheckpointStore, type LoadedState, type SaveOptions } from './runs/checkpoint-store.js'
export { type LoadedRun, loadRun } from './runs/run-folder.js'
export type { LogLengths } from './runs/run-logs.js'
export type { Surroundings } from './runs/surroundings.js'
export {
  captureState,
  type EpochSums,
  type RunIdentity,
  type TrainingProgress,
  type TrainingState,
} from './runs/training-state.js'
export type { ClassScore } from './scores.js'
export type { Split } from './splits.js'
export {
  type Parameter,
  type SwinConfig,
  type SwinOptions,
  SwinTransformer,
  type Tensors,
  type Unit,
  VARIANTS,
  type Variant,
} from './swin-transformer.js'
export { getThreads, setThreads } from './threads.js'
export { type ModuleProgress, type TrainEvent, type TrainOptions, train } from './train.js'
export {
  BackpropTrainer,
  type BatchEvaluation,
  LocalTrainer,
  type Logits,
  type MemoryPoint,
  type Reconstruction,
  type StepOptions,
  type Trainer,
  type TrainerState,
  type TrainStep,
} from './trainers.js'
export {
  type ConvertedWeights,
  type ConvertWeightsOptions,
  convertWeights,
} from './weights/convert-weights.js'
export { type ExportWeightsOptions, exportWeights } from './weights/export-weights.js'
export type { FileNetwork } from './weights/file-network.js'
export type { WeightFormat, WrittenFormat } from './weights/formats.js'
export { inspectWeights, type WeightsInfo } from './weights/inspect-weights.js'
export { type LoadWeightsOptions, loadWeights } from './weights/load-weights.js'
export type { ClassifierChoice, Mismatch, WeightsReport } from './weights/plan.js'
