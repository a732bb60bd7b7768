/* SandboxCore: the native side of one sandbox. */
#pragma once

#include "py/state.h"

extern PyType_Spec py_sandbox_spec;
