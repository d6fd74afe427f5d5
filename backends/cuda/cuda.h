// cuda.h -- programs and arrays on CUDA devices, real or emulated.
#pragma once
#include "jaxpp/core/backend.h"

namespace jaxpp::cuda {

std::vector<Device> devices(Device::Platform, std::string* why_none);
std::shared_ptr<const internal::Executable> compile(const internal::JaxprBody&, Device);
Array to_device(const Array& host, Device);
Device device_of(const internal::Node*);
void fetch(internal::Node*);
void wait(const internal::Node*);

}  // namespace jaxpp::cuda
