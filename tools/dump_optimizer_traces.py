"""Writes tests/traces/optimizers_*.npz: what other libraries' optimizers make of fixed weights and gradients.

    python tools/dump_optimizer_traces.py inputs      # needs NumPy
    python tools/dump_optimizer_traces.py keras       # needs Keras 3 and JAX
    python tools/dump_optimizer_traces.py pytorch     # needs PyTorch
    python tools/dump_optimizer_traces.py papers      # needs PyTorch, schedulefree and adabelief-pytorch
    python tools/dump_optimizer_traces.py timm        # needs PyTorch and timm
    python tools/dump_optimizer_traces.py sparse      # needs PyTorch: a table of which each step uses some rows
    python tools/dump_optimizer_traces.py layers      # needs Keras 3 and PyTorch: weights of all shapes that layers have

Each case is {"class_name", "arguments", "decay"}: the arguments are fastnet's, the learning rate of step i = 0, 1, ...
is the given one times decay**i. The files hold the cases as JSON, the versions of the libraries, and after each of
STEPS steps the weights, as one row; in float64. The file of the inputs holds weights and gradients as float32.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "tests" / "traces"
SHAPES = [(7, 5), (5,)]
STEPS = [1, 2, 6, 20, 50, 100]


def write_inputs():
    """Gradients of many sizes that drift, change sign, and now and then are zero; one is always zero."""
    random = np.random.default_rng(7)
    n = sum(int(np.prod(shape)) for shape in SHAPES)
    size = 10.0 ** random.uniform(-3, 1, n)
    drift = random.normal(size=n) * np.cos(np.arange(STEPS[-1])[:, None] * random.uniform(0, 0.3, n))
    gradients = size * (random.normal(size=(STEPS[-1], n)) + drift)
    gradients[random.uniform(size=gradients.shape) < 0.1] = 0
    gradients[:, 3] = 0
    np.savez_compressed(
        FOLDER / "optimizers_inputs.npz",
        weights=random.normal(size=n).astype(np.float32),
        gradients=gradients.astype(np.float32),
    )


def read_inputs():
    """Weights, and the gradients of each step: float64, in the shapes of SHAPES."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]

    def split(row):
        return [part.reshape(shape) for part, shape in zip(np.split(row, ends), SHAPES)]

    with np.load(FOLDER / "optimizers_inputs.npz") as inputs:
        return split(inputs["weights"].astype(float)), [split(row) for row in inputs["gradients"].astype(float)]


def case(class_name, decay=1.0, **arguments):
    return {"class_name": class_name, "arguments": arguments, "decay": decay}


def write(name, versions, cases, run):
    """Traces of run(case, weights, gradients), which yields the arrays of the weights after each step."""
    weights, gradients = read_inputs()
    traces = []
    for one in cases:
        after = [np.concatenate([np.ravel(array) for array in arrays]) for arrays in run(one, weights, gradients)]
        assert np.isfinite(after).all() and np.any(after != np.float32(after)), one
        traces.append([after[step - 1] for step in STEPS])
    path = FOLDER / f"optimizers_{name}.npz"
    np.savez_compressed(path, cases=json.dumps(cases), versions=json.dumps(versions), steps=STEPS, weights=traces)
    print(f"{path}: {len(cases)} cases, {path.stat().st_size / 1e3:.0f} kB, {versions}")


# ---- Keras -------------------------------------------------------------------------------------------

KERAS_CASES = [
    case("SGD"),
    case("SGD", decay=0.95, learning_rate=0.1),
    case("SGD", momentum=0.9),
    case("SGD", decay=0.95, momentum=0.9),
    case("SGD", decay=0.95, momentum=0.8, nesterov=True),
    case("SGD", momentum=0.9, weight_decay=0.02),
    case("Adagrad"),
    case("Adagrad", decay=0.98, learning_rate=0.05, initial_accumulator_value=0.0, epsilon=1e-3),
    case("Adadelta"),
    case("Adadelta", decay=0.98, learning_rate=1.0, rho=0.9, epsilon=1e-4),
    case("RMSprop"),
    case("RMSprop", decay=0.98, learning_rate=0.01, rho=0.8, epsilon=1e-3),
    case("RMSprop", decay=0.98, momentum=0.9),
    case("RMSprop", centered=True, epsilon=1e-4),
    case("RMSprop", decay=0.98, centered=True, momentum=0.7, epsilon=1e-4),
    case("Adam"),
    case("Adam", decay=0.98, learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    case("Adam", decay=0.98, amsgrad=True, beta_2=0.8),
    case("Adam", weight_decay=0.02),
    case("AdamW"),
    case("AdamW", decay=0.98, learning_rate=0.01, weight_decay=0.1, amsgrad=True),
    case("Adamax"),
    case("Adamax", decay=0.98, learning_rate=0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
    case("Nadam"),
    case("Nadam", decay=0.98, learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    case("Nadam", learning_rate=0.01, beta_1=0.99),
    case("Ftrl"),
    case("Ftrl", learning_rate=0.1, l1_regularization_strength=0.5, l2_regularization_strength=0.1),
    case("Ftrl", decay=0.98, learning_rate=0.05, beta=0.3, l2_shrinkage_regularization_strength=0.01),
    case("Ftrl", learning_rate=0.05, learning_rate_power=-0.7, initial_accumulator_value=0.5),
    case("Ftrl", learning_rate=0.05, learning_rate_power=0.0),
    case("Lion"),
    case("Lion", decay=0.98, learning_rate=0.01, beta_1=0.7, beta_2=0.95, weight_decay=0.1),
    case("ScheduleFreeAdamW"),
    case("ScheduleFreeAdamW", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3, warmup_steps=30),
    case("Lamb"),
    case("Lamb", decay=0.98, learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    case("Adafactor"),
    case("Adafactor", relative_step=False, weight_decay=0.1),
    case("Adafactor", decay=0.98, learning_rate=0.3, beta_2_decay=-0.6, epsilon_1=1e-4, epsilon_2=0.5, clip_threshold=0.8),
    case("Muon"),
    case("Muon", decay=0.98, learning_rate=0.01, momentum=0.8, nesterov=False, ns_steps=3, rms_rate=0.3),
    case("Muon", muon_a=3.0, muon_b=-4.0, muon_c=1.5, adam_beta_1=0.8, adam_beta_2=0.95, adam_lr_ratio=0.5, epsilon=1e-6),
    # What works with every optimizer.
    case("Adam", learning_rate=0.01, clipnorm=2.0),
    case("Adam", learning_rate=0.01, clipvalue=0.5),
    case("Adam", learning_rate=0.01, global_clipnorm=5.0, weight_decay=0.01),
    case("SGD", momentum=0.9, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7),
    case("Adam", learning_rate=0.01, gradient_accumulation_steps=4, clipnorm=1.0),
]


def on_tensors(function):
    import keras

    return lambda x, *arguments, **options: function(keras.ops.convert_to_tensor(x), *arguments, **options)


def run_keras(one, weights, gradients):
    import keras

    optimizer = getattr(keras.optimizers, one["class_name"])(**one["arguments"])
    rate = float(optimizer.learning_rate)
    variables = [keras.Variable(array, dtype="float64") for array in weights]
    for step, arrays in enumerate(gradients):
        optimizer.learning_rate = rate * one["decay"] ** step
        optimizer.apply(arrays, variables)
        yield [np.array(variable.value) for variable in variables]


def dump_keras():
    os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")  # the NumPy backend rounds to float32
    import jax
    import keras

    keras.config.set_floatx("float64")
    for name, function in {"mean": jax.numpy.mean, "norm": jax.numpy.linalg.norm}.items():
        setattr(keras.src.ops, name, on_tensors(function))  # those of Keras round to float32
    write("keras", {"keras": keras.__version__, "jax": jax.__version__}, KERAS_CASES, run_keras)


# ---- PyTorch -----------------------------------------------------------------------------------------

PYTORCH_CASES = [
    case("SGD"),
    case("SGD", decay=0.95, lr=0.1),
    case("SGD", decay=0.95, lr=0.01, momentum=0.9),
    case("SGD", decay=0.95, lr=0.01, momentum=0.9, dampening=0.3),
    case("SGD", decay=0.95, lr=0.01, momentum=0.8, nesterov=True),
    case("SGD", lr=0.01, momentum=0.9, weight_decay=0.1),
    case("Adagrad"),
    case("Adagrad", decay=0.98, lr=0.05, lr_decay=0.1, initial_accumulator_value=0.2, eps=1e-3, weight_decay=0.1),
    case("Adadelta"),
    case("Adadelta", decay=0.98, lr=0.5, rho=0.95, eps=1e-4, weight_decay=0.1),
    case("RMSprop"),
    case("RMSprop", decay=0.98, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1),
    case("RMSprop", decay=0.98, lr=0.001, momentum=0.9),
    case("RMSprop", lr=0.001, centered=True, eps=1e-4),
    case("RMSprop", decay=0.98, lr=0.001, centered=True, momentum=0.7, eps=1e-4),
    case("Adam"),
    case("Adam", decay=0.98, lr=0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    case("Adam", decay=0.98, amsgrad=True, betas=(0.9, 0.8)),
    case("Adam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    case("AdamW"),
    case("AdamW", decay=0.98, lr=0.01, weight_decay=0.1, amsgrad=True),
    case("Adamax"),
    case("Adamax", decay=0.98, lr=0.01, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1),
    case("NAdam"),
    case("NAdam", decay=0.98, lr=0.01, betas=(0.8, 0.95), eps=1e-3, momentum_decay=0.1, weight_decay=0.1),
    case("NAdam", lr=0.01, betas=(0.99, 0.95), weight_decay=0.1, decoupled_weight_decay=True),
    case("RAdam"),
    case("RAdam", decay=0.98, lr=0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    case("RAdam", lr=0.01, betas=(0.9, 0.5), weight_decay=0.1, decoupled_weight_decay=True),
    case("Rprop"),
    case("Rprop", lr=0.05, etas=(0.6, 1.4), step_sizes=(1e-3, 0.1)),
    *(
        case(name, lr=0.01, maximize=True, weight_decay=0.1)
        for name in ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam")
    ),
    case("Rprop", lr=0.01, maximize=True),
]


def run_torch(make, one, weights, gradients):
    import torch

    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in it
    parameters = [torch.nn.Parameter(torch.tensor(array, dtype=torch.float64)) for array in weights]
    optimizer = make(parameters, one["arguments"])
    rate = optimizer.param_groups[0]["lr"]
    for step, arrays in enumerate(gradients):
        optimizer.param_groups[0]["lr"] = rate * one["decay"] ** step
        for parameter, array in zip(parameters, arrays):
            parameter.grad = torch.tensor(array, dtype=torch.float64)
        optimizer.step()
        yield [parameter.detach().numpy().copy() for parameter in parameters]


def dump_pytorch():
    import torch

    def run(one, weights, gradients):
        cls = getattr(torch.optim, one["class_name"])
        yield from run_torch(lambda parameters, given: cls(parameters, **given), one, weights, gradients)

    write("pytorch", {"torch": torch.__version__}, PYTORCH_CASES, run)


# ---- the papers' authors -----------------------------------------------------------------------------

PAPERS_CASES = [
    case("AdaBelief"),
    case("AdaBelief", decay=0.98, learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-8, weight_decay=0.1),
    case("AdaBelief", decay=0.98, rectify=False, epsilon=1e-4),
    case("AdaBelief", decay=0.98, rectify=False, amsgrad=True, beta_2=0.8, epsilon=1e-8),
    case("ScheduleFreeSGD", learning_rate=0.1),
    case("ScheduleFreeSGD", learning_rate=0.05, momentum=0.8, warmup_steps=30),
    case("ScheduleFreeSGD", learning_rate=0.05, warmup_steps=20, r=1.5, weight_lr_power=1.0),
    case("ScheduleFreeSGD", learning_rate=0.1, weight_decay=0.05),
    case("ScheduleFreeAdamW"),
    case("ScheduleFreeAdamW", learning_rate=0.01, beta_1=0.8, beta_2=0.95, warmup_steps=30, weight_lr_power=2.0),
    case("ScheduleFreeAdamW", learning_rate=0.01, r=0.5, weight_decay=0.1),
]


def make_adabelief(parameters, given):
    from adabelief_pytorch import AdaBelief

    given = dict(given)
    betas = given.pop("beta_1", 0.9), given.pop("beta_2", 0.999)
    rate, epsilon = given.pop("learning_rate", 1e-3), given.pop("epsilon", 1e-16)
    return AdaBelief(parameters, rate, betas, epsilon, print_change_log=False, **given)


def make_schedule_free_sgd(parameters, given):
    import schedulefree

    given = dict(given)
    optimizer = schedulefree.SGDScheduleFree(parameters, lr=given.pop("learning_rate"), **given)
    optimizer.train()
    return optimizer


def make_schedule_free_adamw(parameters, given):
    import schedulefree

    given = dict(given)
    betas = given.pop("beta_1", 0.9), given.pop("beta_2", 0.999)
    rate, power = given.pop("learning_rate", 0.0025), given.pop("weight_lr_power", 0.0)
    optimizer = schedulefree.AdamWScheduleFree(parameters, rate, betas, weight_lr_power=power, **given)
    optimizer.train()
    return optimizer


def dump_papers():
    from importlib.metadata import version

    makers = {
        "AdaBelief": make_adabelief,
        "ScheduleFreeSGD": make_schedule_free_sgd,
        "ScheduleFreeAdamW": make_schedule_free_adamw,
    }

    def run(one, weights, gradients):
        yield from run_torch(makers[one["class_name"]], one, weights, gradients)

    versions = {name: version(name) for name in ("torch", "schedulefree", "adabelief-pytorch")}
    write("papers", versions, PAPERS_CASES, run)


# ---- timm, which has the package of Adan's authors -----------------------------------------------------

TIMM_CASES = [
    case("Adan"),
    case("Adan", learning_rate=0.01, weight_decay=0.1),
    case("Adan", decay=0.98, learning_rate=0.01, beta_1=0.9, beta_2=0.8, beta_3=0.95, epsilon=1e-3),
]


def dump_timm():
    import timm
    import torch
    from timm.optim import Adan

    def make(parameters, given):
        betas = tuple(given.get(name, default) for name, default in {"beta_1": 0.98, "beta_2": 0.92, "beta_3": 0.99}.items())
        rate, epsilon, decay = given.get("learning_rate", 1e-3), given.get("epsilon", 1e-8), given.get("weight_decay", 0)
        return Adan(parameters, rate, betas, epsilon, decay, no_prox=True, foreach=False)

    def run(one, weights, gradients):
        yield from run_torch(make, one, weights, gradients)

    write("timm", {"torch": torch.__version__, "timm": timm.__version__}, TIMM_CASES, run)


# ---- sparse gradients --------------------------------------------------------------------------------

#: Of optimizers of PyTorch that update the rows of a table that a step has used, with PyTorch's arguments.
SPARSE_CASES = [
    case("SparseAdam", lr=0.01),
    case("SparseAdam", decay=0.98, lr=0.02, betas=(0.8, 0.95), eps=1e-3),
    case("Adagrad", lr=0.05, lr_decay=0.01, initial_accumulator_value=0.1, eps=1e-6),
    case("SGD", decay=0.95, lr=0.5),
]


def dump_sparse():
    """Steps of a table of 23 rows and 3 columns on the mean of (table[tokens] - targets)**2; some rows are never used."""
    import torch

    random = np.random.default_rng(11)
    table = random.normal(size=(23, 3)).astype(np.float32)
    tokens = np.minimum(random.geometric(0.15, size=(STEPS[-1], 4, 2)), 20)
    targets = random.normal(size=(STEPS[-1], 4, 2, 3)).astype(np.float32)
    traces = []
    for one in SPARSE_CASES:
        layer = torch.nn.Embedding(23, 3, sparse=True, _weight=torch.tensor(table, dtype=torch.float64))
        optimizer = getattr(torch.optim, one["class_name"])(layer.parameters(), **one["arguments"])
        rate, after = optimizer.param_groups[0]["lr"], []
        for step in range(STEPS[-1]):
            optimizer.param_groups[0]["lr"] = rate * one["decay"] ** step
            optimizer.zero_grad()
            wanted = torch.tensor(targets[step], dtype=torch.float64)
            torch.nn.functional.mse_loss(layer(torch.tensor(tokens[step])), wanted).backward()
            optimizer.step()
            after.append(layer.weight.detach().numpy().copy())
        assert np.array_equal(after[-1][21:], table[21:].astype(float))
        traces.append([after[step - 1] for step in STEPS])
    path = FOLDER / "optimizers_sparse.npz"
    versions = json.dumps({"torch": torch.__version__})
    np.savez_compressed(
        path,
        cases=json.dumps(SPARSE_CASES),
        versions=versions,
        steps=STEPS,
        weights=traces,
        table=table,
        tokens=tokens.astype(np.uint8),
        targets=targets,
    )
    print(f"{path}: {len(SPARSE_CASES)} cases, {path.stat().st_size / 1e3:.0f} kB, {versions}")


# ---- the weights of layers ---------------------------------------------------------------------------

#: Of optimizers that look at a weight as a whole, at its shape or its path.
LAYER_CASES = [
    case("Adafactor"),
    case("Adafactor", decay=0.98, learning_rate=0.3, beta_2_decay=-0.6, epsilon_2=0.5, clip_threshold=0.8),
    case("Lamb", learning_rate=0.01),
    case("Muon"),
    case("Muon", learning_rate=0.01, exclude_layers=["head", "conv./", "query/bias$"], exclude_embeddings=False),
    case("Muon", learning_rate=0.01, rms_rate=None, weight_decay=0.05, adam_weight_decay=0.2, adam_lr_ratio=0.5),
    case("Muon", learning_rate=0.01, weight_decay=None, adam_weight_decay=0.2),
    case("Muon", learning_rate=0.01, weight_decay=0.05, adam_weight_decay=None),
]


def layers_of(keras):
    """A model with weights of one axis to three, of which some are embeddings."""
    layers = keras.layers
    tokens = keras.Input((6,))
    x = layers.Embedding(9, 4, name="table_Embedding")(tokens)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.Conv1D(5, 2, name="conv1")(x)
    x = layers.GRU(3, name="gru")(x)
    return keras.Model(tokens, layers.Dense(2, name="head")(layers.Dense(4, name="dense")(x)))


def dump_layers():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    keras.config.set_floatx("float64")
    random = np.random.default_rng(12)
    variables = layers_of(keras).trainable_variables
    ends = np.cumsum([int(np.prod(variable.shape)) for variable in variables])
    values = random.normal(size=ends[-1]).astype(np.float32)
    steps = [1, 3, 12]
    gradients = (random.normal(size=(steps[-1], ends[-1])) * 10 ** random.uniform(-2, 1, ends[-1])).astype(np.float32)

    def split(row):
        return [part.reshape(variable.shape) for part, variable in zip(np.split(row.astype(float), ends[:-1]), variables)]

    traces = []
    for one in LAYER_CASES:
        optimizer = getattr(keras.optimizers, one["class_name"])(**one["arguments"])
        rate, after = float(optimizer.learning_rate), []
        for variable, value in zip(variables, split(values)):
            variable.assign(value)
        for step, row in enumerate(gradients):
            optimizer.learning_rate = rate * one["decay"] ** step
            optimizer.apply([torch.tensor(part) for part in split(row)], variables)
            after.append(np.concatenate([variable.numpy().ravel() for variable in variables]))
        traces.append([after[step - 1] for step in steps])
    path = FOLDER / "optimizers_layers.npz"
    weights = [(variable.path, tuple(variable.shape)) for variable in variables]
    np.savez_compressed(
        path,
        cases=json.dumps(LAYER_CASES),
        versions=json.dumps({"keras": keras.__version__}),
        paths=json.dumps(weights),
        steps=steps,
        weights=traces,
        start=values,
        gradients=gradients,
    )
    print(f"{path}: {len(LAYER_CASES)} cases, {path.stat().st_size / 1e3:.0f} kB, Keras {keras.__version__}, {weights}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    writers = {
        "inputs": write_inputs,
        "keras": dump_keras,
        "pytorch": dump_pytorch,
        "papers": dump_papers,
        "timm": dump_timm,
        "sparse": dump_sparse,
        "layers": dump_layers,
    }
    parser.add_argument("what", choices=writers)
    FOLDER.mkdir(exist_ok=True)
    writers[parser.parse_args().what]()
