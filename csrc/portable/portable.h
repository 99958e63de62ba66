/* The portable library: every operation in plain C99, one function for each, of which an exported model takes what it needs.
 *
 * An export is one C file: the functions that the model uses, its weights as constant arrays, and the calls in their order
 * (src/fastnet/exporting). No function here is compiled into the engine; the tests compare each with the engine's.
 *
 * Rules, by which the exporter takes these files apart and puts them together again:
 *   - A file is a sequence of blocks divided by empty lines at file level: a comment, then one function, type, macro or table.
 *     A block that names another one needs it. Within a function there are no empty lines.
 *   - Every name at file level begins with fnp_ or FNP_, which becomes the name of the model.
 *   - Functions are `static`. Arrays that are read are `const`, all others are written: lifetimes in memory follow from it.
 *   - `#if FNP_BITS == 32`, `#else` and `#endif`, each on a line of its own, are resolved by the exporter; so is FNP_LIBM.
 *   - Nothing but memcpy, memset and memmove of <string.h> and the types of <stdint.h>: no allocation, no <math.h>.
 *   - Indices are fnp_int, numbers fnp_real, constants FNP_R(0.5); those of quantised operations int8_t and int32_t.
 *   - Clean under -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow with gcc, clang and tcc, and as C++17: no designated
 *     initialisers, compound literals, variable-length arrays, or conversions of void pointers.
 *   - Arrays are row-major, the batch first. `rows` is the number of samples.
 *   - Parameters are found by name, see src/fastnet/exporting/_operations.py.
 *   - Backward functions ADD to the gradients of inputs and parameters, which the program sets to zero before. Gradients of
 *     activations are multiplied in place. An array that is not asked for is NULL, where the function says so.
 */
#include <stdint.h>
#include <string.h>

#if FNP_BITS == 32
typedef float fnp_real;
#else
typedef double fnp_real;
#endif

#if FNP_BITS == 32
typedef uint32_t fnp_word;
#else
typedef uint64_t fnp_word;
#endif

typedef int32_t fnp_int;

/* A constant. */
#define FNP_R(x) ((fnp_real)(x))
