#!/usr/bin/env bash
# scikit-learn 1.9.1: r2_score of constant targets is documented as 0.0 for predictions that are not perfect (force_finite=True). It is
# -1.2e34 where the constant has no exact representation: the mean of a thousand 0.1 is not 0.1, so that the sum of squares around it,
# about 1e-31, is not the zero that is looked for. For 0.5 it is 0.0.
# fastnet's R2Score takes such targets for constant.
source "$(dirname "$0")/run_pinned.sh"
run_pinned scikit-learn==1.9.1 numpy==2.4.6 <<'PYTHON'
import numpy as np
from sklearn.metrics import r2_score

found = {value: r2_score(np.full(1000, value), np.full(1000, value + 1.5)) for value in (0.5, 0.1)}
print(found)
assert found[0.5] == 0.0
assert found[0.1] < -1e30
PYTHON
