// The package's public surface. Importing it loads neither the addon nor LibTorch.

export { ERROR_CODES, type ErrorCode, LocalformerError } from './base/errors.js'
export type { Augmentation } from './batch/augmentation.js'
export type { ImageBatch, SplitBatch } from './batch/batch.js'
export type { PreparedBatch, PreparedContent } from './batch/prepared-batch.js'
export { createTraining, type Training } from './config/create.js'
export { readConfig } from './config/file.js'
export type { PresetName } from './config/preset-names.js'
export { PRESETS, type Preset } from './config/presets.js'
export { resolveConfig } from './config/resolve.js'
export type { TrainingConfig, TrainingConfigInput } from './config/schema.js'
export { configJsonSchema, configToYaml } from './config/text.js'
export {
  type Dataset,
  type DatasetDefinition,
  defineDataset,
  type ImageSplit,
} from './datasets/dataset.js'
export { type Batch, batchCount, batches } from './datasets/draw-batches.js'
export { type OpenOptions, openDataset } from './datasets/open.js'
export { type ReadImageOptions, readImage } from './datasets/read-image.js'
export * as cuda from './device/cuda.js'
export type { DeviceName } from './device/device.js'
export * as memory from './device/memory.js'
export type { DeviceCalls, Kernel } from './device/simulation.js'
export * as simulation from './device/simulation.js'
export { getThreads, setThreads } from './device/threads.js'
export * as distributed from './distributed/distributed.js'
export {
  type DetailedEvaluation,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  type HeadEvaluation,
} from './evaluate/evaluate.js'
export { type Image, type Prediction, type PredictOptions, predict } from './evaluate/predict.js'
export type { ClassScore } from './evaluate/scores.js'
export { BackpropTrainer } from './local/backprop-trainer.js'
export type { UnitCost } from './local/balance.js'
export type { BatchEvaluation, Logits } from './local/evaluation.js'
export { LocalTrainer } from './local/local-trainer.js'
export type {
  LearningStep,
  ModuleOptimizer,
  ModuleStep,
  ModuleStepOptions,
  ModuleTrainer,
} from './local/module-trainer.js'
export { type PredictedTransfers, predictTransfers } from './local/offload.js'
export type {
  LocalOptions,
  OptimizationOptions,
  OptimizerOptions,
  Weight,
} from './local/options.js'
export type { Parallel, ParallelOptions } from './local/parallel.js'
export type { Split } from './local/splits.js'
export {
  type Parameter,
  type SwinConfig,
  type SwinOptions,
  SwinTransformer,
  type Tensors,
  type Unit,
  VARIANTS,
  type Variant,
} from './local/swin-transformer.js'
export type {
  MemoryPoint,
  Reconstruction,
  StepOptions,
  Trainer,
  TrainerState,
  TrainStep,
  Transfers,
} from './local/trainer.js'
export {
  DECODERS,
  type DecoderKind,
  DISTANCES,
  type Distance,
  DTYPES,
  type Dtype,
  HEADS,
  type HeadKind,
  MATHS,
  type MathMode,
  METHODS,
  type Method,
  type Offload,
  PRECISIONS,
  type Precision,
  type Recompute,
  TARGETS,
  type Target,
} from './local/words.js'
export type { LogEntry, LoggedRun, Logger } from './loggers/logger.js'
export type { LogPlaces } from './loggers/loggers.js'
export { type MeasureTimelinesOptions, measureTimelines } from './measure/measure-timelines.js'
export {
  type DeviceSummary,
  type MemoryKind,
  type SnapshotGroup,
  type SnapshotSummary,
  summarizeSnapshot,
} from './measure/snapshot-summary.js'
export { EVALUATION_METRICS } from './metrics/evaluation-metrics.js'
export type { EpochSums } from './metrics/means.js'
export type { Metric } from './metrics/metric.js'
export { MODULE_METRICS, type ModuleMeans } from './metrics/module-metrics.js'
export { STEP_METRICS } from './metrics/step-metrics.js'
export type { Features } from './native/features.js'
export { type LoadOptions, load } from './native/load.js'
export type { Change } from './plan/advice.js'
export { type FitBatchOptions, type FittedBatch, fitBatch } from './plan/auto-batch.js'
export type { LargestBatch } from './plan/batch-border.js'
export type { PlannedModule } from './plan/dry-run.js'
export {
  type PlanOptions,
  type PlanProgress,
  type PlanResult,
  plan,
} from './plan/plan.js'
export type { PlanRow, ResidentBytes, Verdict } from './plan/plan-row.js'
export {
  type PlannedRank,
  type PlanRanksOptions,
  planRanks,
  type RankRow,
} from './plan/ranks.js'
export { type WriteReportOptions, writeReport } from './report/write-report.js'
export {
  CheckpointStore,
  type LoadedState,
  type SaveOptions,
} from './run-folder/checkpoint-store.js'
export { type LoadedRun, loadRun } from './run-folder/load-run.js'
export type { Surroundings } from './run-folder/surroundings.js'
export { type CreateRunOptions, createRun, type RunSubjectParts } from './runs/create-run.js'
export {
  type EvaluateRunOptions,
  evaluateRun,
  type RunEvaluation,
} from './runs/evaluate-run.js'
export type { Recorded, SaveRunOptions } from './runs/own-loop.js'
export { type ResumeRunOptions, resumeRun } from './runs/resume-run.js'
export type { Run } from './runs/run.js'
export type { ResumeChanges } from './runs/run-config.js'
export { type RunSummary, readRunSummary } from './runs/run-summary.js'
export type { DoneEvent, MetricsEvent, RunEvent, TrainEvent, WarningEvent } from './train/events.js'
export type { TrainOptions } from './train/options.js'
export { type TrainingEvents, train } from './train/train.js'
export {
  captureState,
  type RunIdentity,
  type TrainingProgress,
  type TrainingState,
} from './train/training-state.js'
export {
  type Checkpoint,
  type CheckpointToWrite,
  type ReadCheckpoint,
  readCheckpoint,
  type TensorInfo,
  type WrittenFile,
  writeCheckpoint,
} from './weights/checkpoint.js'
export {
  type ConvertedWeights,
  type ConvertWeightsOptions,
  convertWeights,
} from './weights/convert-weights.js'
export {
  type ExportedWeights,
  type ExportWeightsOptions,
  exportWeights,
} from './weights/export-weights.js'
export type { FileNetwork } from './weights/file-network.js'
export type { WeightFormat, WrittenFormat } from './weights/formats.js'
export { inspectWeights, type WeightsInfo } from './weights/inspect-weights.js'
export { type LoadWeightsOptions, loadWeights } from './weights/load-weights.js'
export type { ClassifierChoice, Mismatch, WeightsReport } from './weights/plan.js'
export type { TrainedOn, TrainedOnOptions } from './weights/trained-on.js'
