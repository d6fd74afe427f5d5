// emulation.h -- is there a compiler for the emulated GPU?
#pragma once
#include <catch2/catch.hpp>
#include "jaxpp/core/device.h"

namespace jaxpp::testing {

/// Says once why there is none.
inline bool has_emulation() {
  static const bool has = !devices(Device::Platform::cuda_emu).empty();
  if (!has) WARN("skipped: " << why_no_devices(Device::Platform::cuda_emu));
  return has;
}

}  // namespace jaxpp::testing
