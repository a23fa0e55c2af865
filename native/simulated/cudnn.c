// Stands for cuDNN, libcudnn.so.9: convolutions by its backend API, and batch normalisation. How
// much memory a real engine would take is not known: 0, so that whatever calls it is a lower bound.
#include <stdlib.h>
#include <string.h>

#include "simulated.h"

enum { ALLOCATION_FAILED = 1003, NOT_SUPPORTED = 3000 };

EXPORT size_t cudnnGetVersion(void) { return 91900; }
EXPORT size_t cudnnGetCudartVersion(void) { return 13000; }
EXPORT sim_status cudnnGetProperty(int which, int* value) {
  *value = which == 0 ? 9 : which == 1 ? 19 : 0;
  return SIM_OK;
}
EXPORT const char* cudnnGetErrorString(int status) {
  return status == SIM_OK ? "CUDNN_STATUS_SUCCESS" : "error of the simulated cuDNN";
}
EXPORT void cudnnGetLastErrorString(char* out, size_t room) {
  if (room > 0) *out = 0;
}

static sim_status make(void** out) {
  *out = sim_handle();
  return *out != NULL ? SIM_OK : ALLOCATION_FAILED;
}
static sim_status operation(const char* name) {
  SIM_COUNT(cudnn_calls, 1);
  return sim_enter(name);
}

#define DESCRIPTOR(kind)                                                \
  EXPORT sim_status cudnnCreate##kind(void** out) { return make(out); } \
  EXPORT sim_status cudnnDestroy##kind(void* self) {                    \
    free(self);                                                         \
    return SIM_OK;                                                      \
  }
EXPORT sim_status cudnnCreate(void** out) {
  const sim_status asked = sim_enter("cudnnCreate");
  return asked ? asked : make(out);
}
NO_OUTPUTS(cudnnSetStream, "cudnnHandle_t handle, cudaStream_t streamId")
DESCRIPTOR(TensorDescriptor)
DESCRIPTOR(FilterDescriptor)
DESCRIPTOR(ConvolutionDescriptor)
DESCRIPTOR(ActivationDescriptor)
NO_OUTPUTS(cudnnSetTensorNdDescriptor,
           "tensorDesc, dataType, int nbDims, const int dimA[], const int strideA[]")
NO_OUTPUTS(cudnnSetFilterNdDescriptor,
           "filterDesc, dataType, format, int nbDims, const int filterDimA[]")
NO_OUTPUTS(cudnnSetConvolutionNdDescriptor,
           "convDesc, int arrayLength, pad[], stride[], dilation[], mode, computeType")
NO_OUTPUTS(cudnnSetConvolutionGroupCount, "convDesc, int groupCount")
NO_OUTPUTS(cudnnSetConvolutionMathType, "convDesc, cudnnMathType_t mathType")
NO_OUTPUTS(cudnnSetActivationDescriptor, "activationDesc, mode, reluNanOpt, double coef")

// --- the backend API: one engine without knobs, notes or a workspace
// -------------------------------
enum { TYPE_INT64 = 3, TYPE_DESCRIPTOR = 15 };
EXPORT sim_status cudnnBackendCreateDescriptor(int type, void** out) {
  (void)type;
  return make(out);
}
EXPORT sim_status cudnnBackendDestroyDescriptor(void* self) {
  free(self);
  return SIM_OK;
}
NO_OUTPUTS(cudnnBackendSetAttribute,
           "descriptor, name, type, int64_t elementCount, const void *arrayOfElements")
NO_OUTPUTS(cudnnBackendFinalize, "descriptor")
EXPORT sim_status cudnnBackendGetAttribute(void* self, int name, int type, int64_t room,
                                           int64_t* count, void* out) {
  (void)self, (void)name;
  const bool is_one = type == TYPE_DESCRIPTOR || type == TYPE_INT64;
  if (count != NULL) *count = is_one ? 1 : 0;
  if (type == TYPE_INT64 && out != NULL && room > 0) *(int64_t*)out = 0;
  return SIM_OK;
}
EXPORT sim_status cudnnBackendExecute(void* self, void* plan, void* pack) {
  (void)self, (void)plan, (void)pack;
  return operation("cudnnBackendExecute");
}

// --- batch normalisation
// ---------------------------------------------------------------------------
EXPORT sim_status cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    void* self, int mode, int operations, void* x, void* z, void* y, void* scale, void* activation,
    size_t* bytes) {
  (void)self, (void)mode, (void)operations, (void)x, (void)z, (void)y, (void)scale,
      (void)activation;
  *bytes = 0;
  return SIM_OK;
}
EXPORT sim_status cudnnGetBatchNormalizationBackwardExWorkspaceSize(
    void* self, int mode, int operations, void* x, void* y, void* dy, void* dz, void* dx,
    void* scale, void* activation, size_t* bytes) {
  (void)self, (void)mode, (void)operations, (void)x, (void)y, (void)dy, (void)dz, (void)dx,
      (void)scale, (void)activation;
  *bytes = 0;
  return SIM_OK;
}
EXPORT sim_status cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void* self, int mode,
                                                                       int operations,
                                                                       void* activation, void* x,
                                                                       size_t* bytes) {
  (void)self, (void)mode, (void)operations, (void)activation, (void)x;
  *bytes = 0;
  return SIM_OK;
}
// Their outputs are on the device.
EXPORT sim_status cudnnBatchNormalizationForwardTrainingEx(void) {
  return operation("cudnnBatchNormalizationForwardTrainingEx");
}
EXPORT sim_status cudnnBatchNormalizationBackwardEx(void) {
  return operation("cudnnBatchNormalizationBackwardEx");
}
EXPORT sim_status cudnnBatchNormalizationForwardInference(void) {
  return operation("cudnnBatchNormalizationForwardInference");
}

// --- the older API of convolutions, recurrent networks and what else torch names
// -------------------
REFUSED(cudnnCTCLoss, NOT_SUPPORTED)
REFUSED(cudnnCTCLoss_v8, NOT_SUPPORTED)
REFUSED(cudnnConvolutionBackwardData, NOT_SUPPORTED)
REFUSED(cudnnConvolutionBackwardFilter, NOT_SUPPORTED)
REFUSED(cudnnConvolutionBiasActivationForward, NOT_SUPPORTED)
REFUSED(cudnnConvolutionForward, NOT_SUPPORTED)
REFUSED(cudnnCreateCTCLossDescriptor, NOT_SUPPORTED)
REFUSED(cudnnCreateDropoutDescriptor, NOT_SUPPORTED)
REFUSED(cudnnCreatePoolingDescriptor, NOT_SUPPORTED)
REFUSED(cudnnCreateRNNDataDescriptor, NOT_SUPPORTED)
REFUSED(cudnnCreateRNNDescriptor, NOT_SUPPORTED)
REFUSED(cudnnCreateSpatialTransformerDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDestroyCTCLossDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDestroyDropoutDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDestroyRNNDataDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDestroyRNNDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDestroySpatialTransformerDescriptor, NOT_SUPPORTED)
REFUSED(cudnnDropoutGetStatesSize, NOT_SUPPORTED)
REFUSED(cudnnFindConvolutionBackwardDataAlgorithmEx, NOT_SUPPORTED)
REFUSED(cudnnFindConvolutionBackwardFilterAlgorithmEx, NOT_SUPPORTED)
REFUSED(cudnnFindConvolutionForwardAlgorithmEx, NOT_SUPPORTED)
REFUSED(cudnnGetCTCLossWorkspaceSize, NOT_SUPPORTED)
REFUSED(cudnnGetCTCLossWorkspaceSize_v8, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionBackwardDataAlgorithm_v7, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionBackwardDataWorkspaceSize, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionBackwardFilterAlgorithm_v7, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionBackwardFilterWorkspaceSize, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionForwardAlgorithm_v7, NOT_SUPPORTED)
REFUSED(cudnnGetConvolutionForwardWorkspaceSize, NOT_SUPPORTED)
REFUSED(cudnnGetFilterNdDescriptor, NOT_SUPPORTED)
REFUSED(cudnnGetRNNTempSpaceSizes, NOT_SUPPORTED)
REFUSED(cudnnGetRNNWeightParams, NOT_SUPPORTED)
REFUSED(cudnnGetRNNWeightSpaceSize, NOT_SUPPORTED)
REFUSED(cudnnGetStream, NOT_SUPPORTED)
REFUSED(cudnnGetTensorNdDescriptor, NOT_SUPPORTED)
REFUSED(cudnnPoolingForward, NOT_SUPPORTED)
REFUSED(cudnnRNNBackwardData_v8, NOT_SUPPORTED)
REFUSED(cudnnRNNBackwardWeights_v8, NOT_SUPPORTED)
REFUSED(cudnnRNNForward, NOT_SUPPORTED)
REFUSED(cudnnRestoreDropoutDescriptor, NOT_SUPPORTED)
REFUSED(cudnnSetCTCLossDescriptorEx, NOT_SUPPORTED)
REFUSED(cudnnSetCTCLossDescriptor_v9, NOT_SUPPORTED)
REFUSED(cudnnSetDropoutDescriptor, NOT_SUPPORTED)
REFUSED(cudnnSetPooling2dDescriptor, NOT_SUPPORTED)
REFUSED(cudnnSetRNNDataDescriptor, NOT_SUPPORTED)
REFUSED(cudnnSetRNNDescriptor_v8, NOT_SUPPORTED)
REFUSED(cudnnSetSpatialTransformerNdDescriptor, NOT_SUPPORTED)
REFUSED(cudnnSpatialTfGridGeneratorBackward, NOT_SUPPORTED)
REFUSED(cudnnSpatialTfGridGeneratorForward, NOT_SUPPORTED)
REFUSED(cudnnSpatialTfSamplerBackward, NOT_SUPPORTED)
REFUSED(cudnnSpatialTfSamplerForward, NOT_SUPPORTED)
