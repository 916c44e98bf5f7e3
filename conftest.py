"""What needs JAX, TensorFlow or Keras is tested where they are: `make test-frameworks`."""

from importlib.util import find_spec

collect_ignore = (
    []
    if find_spec("keras")
    else ["tests/frameworks", "src/multi_loss_weighting/integrations/keras.py"]
)
