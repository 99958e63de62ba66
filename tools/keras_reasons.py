"""Why a public name of Keras, or an argument, is not in fastnet: by patterns, of which the first that fits counts.

A reason is of two words: whether there is another way, and which, or why there is none. What is to be explained is said by
make_keras_table.py; a name that fastnet has needs no reason.
"""

from __future__ import annotations

from fastnet.ops._missing import MISSING

#: (status, what to say): status is "another way" or "no".
_BACKENDS = ("no", "about the backends of Keras; fastnet is its own")
_ONE_DTYPE = ("no", "a model computes in one precision, `Model(..., dtype=)` or `config.set_floatx`")
_TRACED = ("another way", "`train_step` and `test_step`, which are traced, or a loop with `model.forward`, `model.backward`")
_STATELESS = ("no", "for JAX's way of passing all state; weights here are updated in place")
_PORTABLE = ("another way", "int8 in `model.export(quantize='int8')`")
_VARIABLES = ("another way", "`add_weight` in layers; the arrays of optimizers and metrics are the engine's")
_OWN_FILES = ("another way", "`save`, `save_weights`, `load_weights`, `get_weights`, `set_weights`")
_SOUND = (
    "another way",
    "spectra are best made once, before training, by a package for sound; `fastnet.ops` has no complex numbers",
)
_CTC = ("no", "the loss of sequences without alignment is not among those of the engine")
_DRAWS = ("no", "drawing of images with boxes and masks is for a plotting library")

#: Functions of `keras.ops` that there is another way for; of the others there is none.
_FUNCTIONS_BY_ANOTHER_WAY = {
    "adaptive_average_pool", "adaptive_max_pool", "allclose", "average_pool", "bitwise_and", "bitwise_invert", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "cond", "conv", "conv_transpose", "corrcoef", "correlate",
    "custom_gradient", "depthwise_conv", "fold", "gcd", "histogram", "jvp", "lcm", "left_shift", "map", "max_pool", "psnr", "rearrange",
    "right_shift", "scan", "associative_scan", "separable_conv", "switch", "unfold", "vectorize", "vectorized_map", "while_loop",
}  # fmt: skip
_OWN_MACHINERY = ("no", "of Keras's own machinery")
_MACHINERY = {
    f"{owner}.{name}": _OWN_MACHINERY
    for owner in ("layers.Layer", "Model")
    for name in (
        "add_variable", "build_from_config", "compute_output_spec", "get_build_config", "input_spec", "metrics_variables", "rematerialized_call",
        "symbolic_call", "torch_params",
    )
}  # fmt: skip
_IMAGES = {
    "affine_transform": "layers: `layers.RandomRotation`, `RandomTranslation`, `RandomZoom`, `RandomShear`",
    "perspective_transform": "a layer: `layers.RandomPerspective`",
    "elastic_transform": "a layer: `layers.RandomElasticTransform`",
    "gaussian_blur": "a layer: `layers.RandomGaussianBlur`",
    "map_coordinates": "`ops.take` at places that are computed; what layers need of it they have",
    "crop_images": "slices, or `layers.CenterCrop`, `layers.Cropping2D`",
    "pad_images": "`ops.pad`, or `layers.ZeroPadding2D`",
    "resize": "a layer: `layers.Resizing`",
    "scale_and_translate": "a layer: `layers.Resizing`",
    "extract_patches": "a convolution of the size of a patch, or slices with `ops.stack`",
    "extract_patches_3d": "a convolution of the size of a patch, or slices with `ops.stack`",
    "hsv_to_rgb": "layers: `layers.RandomHue`, `layers.RandomSaturation`",
    "rgb_to_hsv": "layers: `layers.RandomHue`, `layers.RandomSaturation`",
    "rgb_to_grayscale": "a sum of the channels with their weights; at random, `layers.RandomGrayscale`",
    "sobel_edges": "a `DepthwiseConv2D` with such a kernel that is not trained",
    "ssim": "a formula of means and variances of windows, which `layers.AveragePooling2D` takes",
}

NAMES: dict[str, tuple[str, str]] = {
    **{
        pattern: ("another way" if name in _FUNCTIONS_BY_ANOTHER_WAY else "no", why)
        for name, why in MISSING.items()
        for pattern in (f"ops.{name}", f"ops.*.{name}")
    },
    **{f"ops.image.{name}": ("another way", why) for name, why in _IMAGES.items()},
    **_MACHINERY,
    "applications*": ("another way", "large pretrained networks: load a saved one by `saving.from_keras`"),
    "distribution.*": ("no", "about several machines or accelerators; all threads of one processor are used by themselves"),
    "distillation.*": ("another way", "a `train_step` with the teacher's predictions as targets"),
    "dtype_policies.*": _ONE_DTYPE,
    "mixed_precision.*": _ONE_DTYPE,
    "*DTypePolicy": _ONE_DTYPE,
    "*dtype_policy": _ONE_DTYPE,
    "*LossScaleOptimizer": _ONE_DTYPE,
    "*compute_dtype": _ONE_DTYPE,
    "*variable_dtype": _ONE_DTYPE,
    "*input_dtype": _ONE_DTYPE,
    "*.dtype": ("another way", "`model.dtype`"),
    "quantizers.*": _PORTABLE,
    "Quantizer": _PORTABLE,
    "*quantiz*": _PORTABLE,
    "export.ExportArchive": ("another way", "`model.export`, a file in C99"),
    "legacy.*": ("no", "of Keras 2's files"),
    "utils.legacy.*": ("no", "of Keras 2's files"),
    "optimizers.legacy.*": ("no", "refused by Keras 3 as well"),
    "visualization.*": _DRAWS,
    "utils.bounding_boxes.*": _DRAWS,
    "wrappers.*": ("another way", "`fit` and `predict` take what scikit-learn takes"),
    "tree.*": ("another way", "the package `optree`; fastnet has lists and dictionaries of arrays only"),
    # ---- callbacks
    "callbacks.BackupAndRestore": ("another way", "`callbacks.TrainingCheckpoint` and `fit(resume_from=)`, with the same bits"),
    "callbacks.OrbaxCheckpoint": ("another way", "`callbacks.TrainingCheckpoint`"),
    "callbacks.ProgbarLogger": ("another way", "`fit(verbose=1)`"),
    "callbacks.RemoteMonitor": ("no", "fastnet makes no connections; `callbacks.LambdaCallback`"),
    "callbacks.SwapEMAWeights": ("another way", "with `use_ema=True` evaluations use the averages"),
    "callbacks.History": ("another way", "`fit` returns it"),
    # ---- configuration
    "config.*flash_attention*": ("no", "attention is computed in blocks always"),
    "config.is_nnx_enabled": _BACKENDS,
    "config.set_backend": _BACKENDS,
    "config.*max_*": ("another way", "`fit(epochs=, steps_per_epoch=)`"),
    "config.enable_unsafe_deserialization": ("no", "files hold no code"),
    "*interactive_logging*": ("another way", "`verbose=`"),
    "config.*traceback_filtering*": ("no", "nothing is filtered"),
    "*set_image_data_format": ("no", "channels come last"),
    "backend.get_uid": ("no", "names are numbered within a model"),
    "backend.result_type": _ONE_DTYPE,
    "backend.is_*_dtype": _ONE_DTYPE,
    "*standardize_dtype": _ONE_DTYPE,
    "device": _BACKENDS,
    "name_scope": ("no", "names follow from layers and attributes"),
    "RematScope": ("no", "memory is planned; nothing is computed twice"),
    "remat": ("no", "memory is planned; nothing is computed twice"),
    "*Scope": _BACKENDS,
    "KerasTensor": ("another way", "what `Input` returns"),
    "Variable": ("another way", "`Layer.add_weight`"),
    "Function": ("another way", "`Model`"),
    "Operation": ("another way", "`layers.Layer`"),
    "InputSpec": ("no", "shapes are checked when the layer is called"),
    "layers.InputSpec": ("no", "shapes are checked when the layer is called"),
    # ---- layers
    **dict.fromkeys(["layers.FlaxLayer", "layers.JaxLayer", "layers.TFSMLayer"], ("no", "of another framework")),
    "layers.InputLayer": ("another way", "`Input`"),
    "layers.ContrastLimitedAdaptiveHistogramEqualization": ("another way", "`layers.Equalization`, of whole images"),
    "layers.MelSpectrogram": _SOUND,
    "layers.STFTSpectrogram": _SOUND,
    "initializers.STFT*": _SOUND,
    "initializers.stft": _SOUND,
    "layers.SpectralNormalization": (
        "another way",
        "`kernel_constraint=` with a function of `fastnet.ops` that divides the weight by its largest singular value",
    ),
    "layers.Layer.add_metric": ("no", "Keras 3 refuses it as well"),
    "layers.Layer.*own_variables": _OWN_FILES,
    "layers.Layer.losses": ("another way", "the losses of layers are within `evaluate`"),
    "layers.Layer.metrics": ("no", "metrics belong to models"),
    "losses.CTC": _CTC,
    "losses.ctc": _CTC,
    "activations.sparsemax": ("another way", "`fastnet.ops.sparsemax` in a `Lambda`; an activation is a function of one number"),
    "layers.TorchModuleWrapper": ("no", "of another framework"),
    "layers.MaxNumBoundingBoxes": _DRAWS,
    "layers.MixUp": ("another way", "`fit(mixup=)`"),
    "layers.CutMix": ("another way", "`fit(cutmix=)`"),
    "optimizers.MultiOptimizer": (
        "another way",
        "`learning_rate_multipliers=`, or a `TrainStep` with an optimizer for each update",
    ),
    "optimizers.OptimizerMap": (
        "another way",
        "`learning_rate_multipliers=`, or a `TrainStep` with an optimizer for each update",
    ),
    "optimizers.Optimizer.exclude_from_weight_decay": ("another way", "an argument of the constructor"),
    "optimizers.Optimizer.apply*": ("another way", "`model.apply_gradients()` after `model.backward`"),
    "optimizers.Optimizer.stateless_apply": _STATELESS,
    **{
        f"optimizers.Optimizer.{name}": _VARIABLES
        for name in (
            "add_*",
            "assign*",
            "build",
            "finalize_variable_values",
            "*own_variables",
            "set_weights",
            "update_step",
            "variables",
        )
    },
    "optimizers.Optimizer.scale_loss": _ONE_DTYPE,
    "random.binomial": ("another way", "sums of `random.bernoulli`"),
    "*stateless_*": _STATELESS,
    "*state_tree": _STATELESS,
    # ---- models
    "Model.*_step": _TRACED,
    "Model.make_*_function": _TRACED,
    "Model.*own_variables": _OWN_FILES,
    "Model.*compile*config": ("another way", "files hold what `compile` was told"),
    "Model.jit_compile": ("no", "models are always compiled"),
    "Model.run_eagerly": ("no", "models are always compiled"),
    "Model.losses": ("another way", "the losses of layers are within `evaluate`"),
    "Model.add_metric": ("no", "Keras 3 refuses it as well"),
    "models.model_from_json": ("another way", "`Model.from_config`"),
    "Model.get_metrics_result": ("another way", "`evaluate`, `train_on_batch` and the history have the results"),
    "Model.metrics": ("another way", "results are by name in the history and in `evaluate(return_dict=True)`"),
    "Model.metrics_names": ("another way", "the keys of the history, or of `evaluate(return_dict=True)`"),
    "Model.reset_metrics": (
        "another way",
        "each epoch, and each call of `evaluate`, begins anew; `train_on_batch` has no sums of earlier calls",
    ),
    "Model.to_json": ("another way", "`json.dumps(model.get_config())`"),
    # ---- files and data
    "*KerasFileEditor": ("no", "files are safetensors: see `safetensors.numpy.load_file`"),
    "utils.audio_dataset_from_directory": ("no", "sound is for other packages"),
    "utils.FeatureSpace.call": ("another way", "the space is called: `space(features)`"),
    "utils.Config": ("no", "a dictionary"),
    "utils.Progbar": ("another way", "tqdm"),
    "utils.model_to_dot": ("another way", "`utils.plot_model`"),
    "utils.get_source_inputs": ("another way", "`Model.inputs`"),
    "version": ("another way", "`fastnet.__version__`"),
}

_NO_SUCH = "a layer computes in the dtype of its model"
_BY_PHASE = "training or inference is said by what is called: `fit`, `predict`, `model.forward(x, training=)`"

#: "path(argument)" -> what to say.
ARGUMENTS: dict[str, str] = {
    "*(dtype)": _NO_SUCH,
    "*(autocast)": _NO_SUCH,
    "*.call(training)": _BY_PHASE,
    "*.call(*mask)": "masks go with tensors",
    "*(lora_*)": "no adapters; freeze layers by `trainable`",
    "*(quantization_config)": "int8 in `model.export(quantize='int8')`",
    "*(use_cudnn)": "of GPUs",
    "*(unroll)": "the engine goes over the steps by itself",
    "*(loss_scale_factor)": "of half precision",
    "*BatchNormalization(renorm*)": "statistics of small batches are better left: `LayerNormalization`, `GroupNormalization`",
    "*(jit_compile)": "models are always compiled",
    "*(run_eagerly)": "models are always compiled; `fastnet.ops` computes on arrays at once",
    "*(steps_per_execution)": "the engine makes as many steps as nobody has to be called between",
    "*(auto_scale_loss)": "of half precision",
    "*(safe_mode)": "files hold no code",
    "*(max_shard_size)": "one file",
    "*(zipped)": "one file",
    "*(overwrite)": "files are replaced, as a whole",
    "*(sparse)": "arrays are dense",
    "*(ragged)": "arrays are dense",
    "*(data_format)": "channels come last",
    "*.export(*)": "the file is C99",
    "callbacks.CallbackList(*)": "made by `fit`",
    "callbacks.TensorBoard(*)": "of TensorFlow",
    "metrics.AUC(from_logits)": "None: as the loss has it",
    "Model.evaluate(verbose)": "prints what it returns only if told to",
    "Model.predict(verbose)": "prints what it returns only if told to",
    "Model.fit(x)": "there is nothing to train without data",
    "Model.evaluate(x)": "there is nothing to evaluate without data",
    "layers.Input(shape)": "an input without a shape is none",
    "ops.where(x?)": "of one argument: the numbers of places depend on the data",
    "optimizers.Optimizer(learning_rate)": "of the subclasses",
    "*compute_mask(*)": "takes the inputs alone",
    "distribution.DataParallel(*)": "the processes are those that MPI has started",
    "layers.Bidirectional(weights)": "`set_weights`",
    "layers.Embedding(weights)": "`embeddings_initializer=initializers.Constant(array)`, or `set_weights`",
    "layers.CategoryEncoding.call(count_weights)": "numbers are counted as they come; multiply a `one_hot` by weights else",
    "*(gptq_*)": "int8 in `model.export(quantize='int8')`",
    "layers.Input(batch_shape)": "`Input(shape, batch_size=)`",
    "layers.Input(tensor)": "call the next layer on that tensor",
    "layers.Input(optional)": "a model is given all of its inputs",
    "layers.Layer(activity_regularizer)": "`layers.ActivityRegularization`; layers that Keras has it for have it",
    "metrics.AUC(thresholds)": "`num_thresholds`, at equal distances",
    "metrics.AUC(multi_label)": "one curve of all decisions; a metric for each output has one for each label",
    "metrics.AUC(num_labels)": "one curve of all decisions; a metric for each output has one for each label",
    "metrics.AUC(label_weights)": "one curve of all decisions; a metric for each output has one for each label",
    "metrics.FBetaScore(average)": "one number for the history",
    "metrics.*(top_k)": "the threshold decides; `TopKCategoricalAccuracy` looks at the first k",
    "metrics.SparseTopKCategoricalAccuracy(from_sorted_ids)": "predictions are scores",
    "*(skip_mismatch)": "a file fits, or is refused and nothing is changed; `layer.set_weights` sets parts",
    "utils.*_from_directory(format)": "there is one: arrays",
    "utils.timeseries_dataset_from_array(format)": "there is one: arrays",
    "utils.*_from_directory(verbose)": "nothing is printed",
    "utils.image_dataset_from_directory(pad_to_aspect_ratio)": "`crop_to_aspect_ratio=True`, or `layers.Resizing(pad_to_aspect_ratio=True)`",
    "utils.plot_model(splines)": "the ways of lines are Graphviz's own",
    "utils.split_dataset(preferred_backend)": "there is one",
    "Model.compile(weighted_metrics)": "metrics count each row once; weights are in the loss",
    "Model.get_layer(index)": "`model.layers[index]`",
    "Model.summary(*)": "the table is as wide as it has to be, and is of all layers",
    "Sequential(trainable)": "`model.trainable = False`",
    "Sequential.*(rebuild)": "it is built again where it has to be",
    "models.clone_model(call_function)": "copies are of the same arguments, with the graph of the model",
    "models.clone_model(recursive)": "models within it are copied too",
}
