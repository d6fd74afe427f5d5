// nvrtc_check.cc -- compiles every source in a folder for an architecture, as a GPU would get it: each must compile, no
// kernel may spill registers.
//
//   jaxpp_nvrtc_check sm_90 FOLDER     exit status 77: NVRTC is not on this machine
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include "backends/cuda/driver.h"

using namespace jaxpp;

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: jaxpp_nvrtc_check ARCHITECTURE FOLDER");
  std::map<std::string, std::string> sources;  // each once, with the first file it is in
  for (auto& f : std::filesystem::directory_iterator(argv[2])) {
    std::ifstream in(f.path());
    std::stringstream text;
    text << in.rdbuf();
    sources.emplace(text.str(), f.path().filename());
  }
  int kernels = 0, vector_loads = 0, most_registers = 0, bad = 0;
  for (const auto& [source, file] : sources) {
    std::string why;
    const auto cubin = cuda::nvrtc_compile(source, argv[1], true, &why);
    if (!cubin) {
      std::printf("%s\n", why.c_str());
      return 77;
    }
    for (const cuda::Usage& u : cubin->usage) {
      ++kernels;
      most_registers = std::max(most_registers, u.registers);
      if (u.spill_bytes) {
        ++bad;
        std::printf("%s: %s spills %d bytes\n", file.c_str(), u.kernel.c_str(), u.spill_bytes);
      }
    }
    vector_loads += cubin->ptx.find(".v4.f32") != std::string::npos ||
                    cubin->ptx.find(".v2.f64") != std::string::npos;
  }
  std::printf("%zu modules, %d kernels, at most %d registers; %d modules load vectors\n",
              sources.size(), kernels, most_registers, vector_loads);
  return bad || kernels == 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
