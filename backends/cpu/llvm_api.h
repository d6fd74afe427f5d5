// llvm_api.h -- the functions and constants of LLVM's C interface that are used, declared here: neither its headers nor
// the library are needed to build.
//
// A row: result type, name, arguments.  Enumerations are int, handles pointers to types without definition.
// tests/llvm_headers_test.cc compares every row and number with LLVM's headers where they are installed.
#pragma once
#include <cstddef>

namespace jaxpp::native::api {

using LLVMBool = int;
using LLVMContextRef = struct Context*;
using LLVMModuleRef = struct Module*;
using LLVMMemoryBufferRef = struct MemoryBuffer*;
using LLVMTargetRef = struct Target*;
using LLVMTargetMachineRef = struct TargetMachine*;
using LLVMTargetDataRef = struct TargetData*;
using LLVMPassBuilderOptionsRef = struct PassBuilderOptions*;
using LLVMErrorRef = struct ErrorObject*;
using LLVMDiagnosticInfoRef = struct DiagnosticInfo*;
using LLVMFatalErrorHandler = void (*)(const char*);
using LLVMDiagnosticHandler = void (*)(LLVMDiagnosticInfoRef, void*);

// clang-format off
#define JAXPP_LLVM_API(X) \
  X(void, LLVMGetVersion, (unsigned*, unsigned*, unsigned*)) \
  X(void, LLVMInstallFatalErrorHandler, (LLVMFatalErrorHandler)) \
  X(void, LLVMDisposeMessage, (char*)) \
  X(LLVMContextRef, LLVMContextCreate, ()) \
  X(void, LLVMContextDispose, (LLVMContextRef)) \
  X(void, LLVMContextSetDiagnosticHandler, (LLVMContextRef, LLVMDiagnosticHandler, void*)) \
  X(char*, LLVMGetDiagInfoDescription, (LLVMDiagnosticInfoRef)) \
  X(int, LLVMGetDiagInfoSeverity, (LLVMDiagnosticInfoRef)) \
  X(LLVMMemoryBufferRef, LLVMCreateMemoryBufferWithMemoryRange, (const char*, std::size_t, const char*, LLVMBool)) \
  X(void, LLVMDisposeMemoryBuffer, (LLVMMemoryBufferRef)) \
  X(const char*, LLVMGetBufferStart, (LLVMMemoryBufferRef)) \
  X(std::size_t, LLVMGetBufferSize, (LLVMMemoryBufferRef)) \
  X(LLVMBool, LLVMParseIRInContext, (LLVMContextRef, LLVMMemoryBufferRef, LLVMModuleRef*, char**)) \
  X(LLVMBool, LLVMVerifyModule, (LLVMModuleRef, int, char**)) \
  X(char*, LLVMPrintModuleToString, (LLVMModuleRef)) \
  X(void, LLVMDisposeModule, (LLVMModuleRef)) \
  X(LLVMPassBuilderOptionsRef, LLVMCreatePassBuilderOptions, ()) \
  X(void, LLVMDisposePassBuilderOptions, (LLVMPassBuilderOptionsRef)) \
  X(LLVMErrorRef, LLVMRunPasses, (LLVMModuleRef, const char*, LLVMTargetMachineRef, LLVMPassBuilderOptionsRef)) \
  X(char*, LLVMGetErrorMessage, (LLVMErrorRef)) \
  X(void, LLVMDisposeErrorMessage, (char*)) \
  X(char*, LLVMGetDefaultTargetTriple, ()) \
  X(char*, LLVMGetHostCPUName, ()) \
  X(char*, LLVMGetHostCPUFeatures, ()) \
  X(LLVMBool, LLVMGetTargetFromTriple, (const char*, LLVMTargetRef*, char**)) \
  X(LLVMTargetMachineRef, LLVMCreateTargetMachine, (LLVMTargetRef, const char*, const char*, const char*, int, int, int)) \
  X(void, LLVMDisposeTargetMachine, (LLVMTargetMachineRef)) \
  X(LLVMTargetDataRef, LLVMCreateTargetDataLayout, (LLVMTargetMachineRef)) \
  X(char*, LLVMCopyStringRepOfTargetData, (LLVMTargetDataRef)) \
  X(void, LLVMDisposeTargetData, (LLVMTargetDataRef)) \
  X(LLVMBool, LLVMTargetMachineEmitToMemoryBuffer, (LLVMTargetMachineRef, LLVMModuleRef, int, char**, LLVMMemoryBufferRef*))

// Of the processor that this program runs on; the others stay asleep.
#if defined(__aarch64__)
#define JAXPP_LLVM_TARGET(X) \
  X(void, LLVMInitializeAArch64TargetInfo, ()) \
  X(void, LLVMInitializeAArch64Target, ()) \
  X(void, LLVMInitializeAArch64TargetMC, ()) \
  X(void, LLVMInitializeAArch64AsmPrinter, ())
#else
#define JAXPP_LLVM_TARGET(X) \
  X(void, LLVMInitializeX86TargetInfo, ()) \
  X(void, LLVMInitializeX86Target, ()) \
  X(void, LLVMInitializeX86TargetMC, ()) \
  X(void, LLVMInitializeX86AsmPrinter, ())
#endif

#define JAXPP_LLVM_CONSTANTS(X) \
  X(LLVMReturnStatusAction, 2) \
  X(LLVMDSError, 0) \
  X(LLVMCodeGenLevelNone, 0) \
  X(LLVMCodeGenLevelDefault, 2) \
  X(LLVMRelocPIC, 2) \
  X(LLVMCodeModelSmall, 3) \
  X(LLVMAssemblyFile, 0) \
  X(LLVMObjectFile, 1)
// clang-format on

#define JAXPP_ROW(NAME, VALUE) inline constexpr int k##NAME = VALUE;
JAXPP_LLVM_CONSTANTS(JAXPP_ROW)
#undef JAXPP_ROW

struct Llvm {
#define JAXPP_ROW(RESULT, NAME, ARGUMENTS) RESULT(*NAME) ARGUMENTS = nullptr;
  JAXPP_LLVM_API(JAXPP_ROW)
  JAXPP_LLVM_TARGET(JAXPP_ROW)
#undef JAXPP_ROW
};

}  // namespace jaxpp::native::api
