/* SandboxCore: the native side of one sandbox. Refusals: those whose endpoints refuse. */
#pragma once

#include "py/state.h"

extern PyType_Spec py_sandbox_spec;
extern PyType_Spec py_refusals_spec;
