/* Checks of a description. */
#ifndef FN_ENGINE_CHECK_H
#define FN_ENGINE_CHECK_H

#include "descriptor.h"

/* The description of a caller of any version, as one of this. */
fn_status fn_read_spec(fn_plan_spec *spec, const fn_plan_spec *given, fn_error *error);
/* Whether a description can be made anything of (check.c). */
fn_status fn_check_spec(const fn_plan_spec *spec, fn_error *error);

#endif
