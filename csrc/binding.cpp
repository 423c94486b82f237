// The module carousel.engines._kernel: the only file that knows Python.

#include <nanobind/nanobind.h>

namespace nb = nanobind;

NB_MODULE(_kernel, module) {
    module.def("version", [] { return CAROUSEL_VERSION; }, "The version of the package it was built for.");
    module.def(
        "instruction_set", [] { return "portable"; },
        "The instruction set that was chosen for this processor.");
}
