/* AdaBelief (Zhuang et al. 2020), as in the authors' package.
 *
 *   m = m + (1 - beta_1) (g - m)
 *   s = beta_2 s + (1 - beta_2) (g - m)^2 + epsilon
 *   u = s,  with amsgrad  u = max(u, s)
 *   w = w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(u) + epsilon sqrt(1 - beta_2^t))
 *   rectify:   w = w - r lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(s) + epsilon)   once r is defined, until then
 *              w = w - lr / (1 - beta_1^t) m
 *
 * r is fn_rectification's. The authors' package ignores amsgrad where it rectifies; here u takes the place of s.
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, AMSGRAD, RECTIFY };
enum { ALPHA, EPSILON_NOW, ADAPTIVE };

static const fn_attribute attributes[] = {{"learning_rate", 0.001}, {"beta_1", 0.9},  {"beta_2", 0.999},
                                          {"epsilon", 1e-16},       {"amsgrad", 0}, {"rectify", 1}};

