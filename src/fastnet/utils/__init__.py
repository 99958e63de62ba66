"""What scripts look for in `keras.utils`: labels, sequences, windows, folders of images and texts, seeds."""

from .._drawing import plot_model
from .._registered import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from ..backend import clear_session, is_keras_tensor
from ..saving.objects import deserialize_keras_object, serialize_keras_object
from .arrays import (
    normalize,
    pack_x_y_sample_weight,
    pad_sequences,
    set_random_seed,
    to_categorical,
    unpack_x_y_sample_weight,
)
from .datasets import Dataset, PyDataset, Sequence, split_dataset, timeseries_dataset_from_array
from .feature_space import FeatureSpace
from .files import get_file, text_dataset_from_directory
from .images import array_to_img, image_dataset_from_directory, img_to_array, load_img, save_img
from .table_encoder import TableEncoder

__all__ = [
    "Dataset", "FeatureSpace", "PyDataset", "Sequence", "TableEncoder", "array_to_img", "clear_session", "get_file", "image_dataset_from_directory", "img_to_array", "is_keras_tensor", "load_img",
    "normalize", "pack_x_y_sample_weight", "pad_sequences", "plot_model", "save_img", "set_random_seed", "split_dataset", "text_dataset_from_directory",
    "timeseries_dataset_from_array", "to_categorical", "unpack_x_y_sample_weight",
]  # fmt: skip
__all__ += [
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
]
__all__ += ["register_keras_serializable", "serialize_keras_object"]
