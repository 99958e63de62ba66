/* Cuts of a step into parts. */
#ifndef FN_ENGINE_CUTS_H
#define FN_ENGINE_CUTS_H

#include "plan.h"

/* When all stages have been emitted: finds those with which parts end. buffers: of each parameter that of its values and that of
 * its gradient, or -1. */
void fn_find_cuts(fn_plan *plan, const fn_plan_spec *spec, const int32_t *buffers);

#endif
