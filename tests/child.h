// child.h -- the tests in a process of their own: what a process chooses once.
#pragma once
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>
#include <string>

/// What this program prints when it runs the tests that `filter` selects, with `environment` ("NAME=value").
inline std::string output_of_tests(const std::string& environment, const std::string& filter) {
  char self[4096] = {};
  REQUIRE(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  const std::string command = environment + " '" + self + "' '" + filter + "' 2>&1";
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  REQUIRE(pipe);
  std::string text;
  for (int c; (c = std::fgetc(pipe.get())) != EOF;) text += char(c);
  return text;
}
