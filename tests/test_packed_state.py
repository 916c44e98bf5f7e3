"""A state goes through one float64 tensor bit for bit."""

from __future__ import annotations

import copy
import math
import pickle
import random
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from multi_loss_weighting.tensors._state import pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int32,
    torch.int64,
    torch.bfloat16,
    torch.float16,
    torch.float32,
    torch.float64,
    torch.complex64,
]
SCALARS = st.none() | st.booleans() | st.integers(1 - 2**143, 2**143 - 1) | st.floats() | st.text()


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = math.prod(shape) * dtype.itemsize
    content = draw(st.binary(min_size=count, max_size=count))
    if dtype == torch.bool:
        return torch.tensor([byte % 2 for byte in content]).bool().reshape(shape)
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)


ARRAYS = arrays.arrays(
    arrays.boolean_dtypes() | arrays.integer_dtypes() | arrays.floating_dtypes(),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
KEYS = st.text() | st.integers() | st.booleans() | st.none()
STATES = st.recursive(
    SCALARS | tensors() | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


def bits(value: Any) -> Any:
    """What two values share only where type, shape and each bit are the same."""
    if isinstance(value, dict):
        return dict, [(type(key), key, bits(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    if isinstance(value, torch.Tensor):
        flat = value.resolve_conj().resolve_neg().reshape(-1)
        return value.dtype, value.shape, flat.view(torch.uint8).tolist() if len(flat) else []
    if isinstance(value, np.ndarray | np.generic):
        return type(value), value.dtype, value.shape, value.tobytes()
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value


@given(STATES)
def test_each_bit_comes_back(value: Any) -> None:
    packed = pack(value)

    assert (packed.dtype, packed.dim(), packed.device.type) == (torch.float64, 1, "cpu")
    assert bits(unpack(packed)) == bits(value)


NUMBERS = st.none() | st.booleans() | st.integers(1 - 2**143, 2**143 - 1) | st.floats()


@given(NUMBERS, NUMBERS)
def test_the_length_is_the_same_for_all_numbers(first: Any, second: Any) -> None:
    states = [{"best": number, "all": [number, 1.0]} for number in (first, second)]

    one, other = map(pack, states)

    assert one.shape == other.shape


@given(st.floats(), st.floats())
def test_another_state_can_be_loaded_in_place(first: float, second: float) -> None:
    kept, new = pack({"mean": first}), pack({"mean": second})

    kept.copy_(new)

    assert bits(unpack(kept)) == bits({"mean": second})


@given(st.floats())
def test_it_holds_whole_numbers_alone(number: float) -> None:
    packed = pack([number, torch.tensor([number])])

    assert torch.equal(packed, packed.round())
    assert packed.min() >= 0
    assert packed.max() < 2**48


def test_generator_states_come_back() -> None:
    states = {
        "python": random.getstate(),
        "numpy": np.random.default_rng(3).bit_generator.state,
        "old numpy": np.random.RandomState(3).get_state(),
        "torch": torch.get_rng_state(),
        "seed": 2**64 - 1,
    }

    assert bits(unpack(pack(states))) == bits(states)


def test_it_shares_no_memory_with_what_it_holds() -> None:
    mean, count = torch.ones(2), np.ones(2)
    packed = pack([mean, count])
    back = unpack(packed)

    mean.zero_()
    count[:] = 0
    packed.zero_()

    assert (back[0].tolist(), back[1].tolist()) == ([1, 1], [1, 1])
    back[1][:] = 2


def test_views_parameters_and_float8_come_back() -> None:
    grid = torch.arange(6.0).reshape(2, 3)
    state = [grid.T, torch.nn.Parameter(grid), grid.to(torch.float8_e4m3fn)]
    state += [torch.complex(grid, -grid).conj(), torch.complex(grid, grid).conj().imag]

    back = unpack(pack(state))

    assert [bits(item) for item in back] == [bits(item.detach()) for item in state]
    assert not back[1].requires_grad


STATE = {"step": 2**60, "mean": [0.1, -0.0, math.nan, math.inf], "rng": torch.get_rng_state()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_default_dtypes_make_no_difference(dtype: torch.dtype) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        back = unpack(pack(STATE))
    finally:
        torch.set_default_dtype(before)

    assert bits(back) == bits(STATE)


def test_default_devices_make_no_difference() -> None:
    with torch.device("meta"):
        inside = pack(STATE), bits(unpack(pack(STATE)))
    torch.set_default_device("meta")
    try:
        default = pack(STATE), bits(unpack(pack(STATE)))
    finally:
        torch.set_default_device(None)

    assert [packed.device.type for packed, _ in (inside, default)] == ["cpu", "cpu"]
    assert inside[1] == default[1] == bits(STATE)


def test_inference_mode_makes_no_difference() -> None:
    with torch.inference_mode():
        packed = pack(STATE)

    assert bits(unpack(packed)) == bits(STATE)


def torch_save(packed: torch.Tensor, path: Path, *, mmap: bool = False) -> torch.Tensor:
    torch.save({"x": packed}, path)
    saved: torch.Tensor = torch.load(path, weights_only=True, mmap=mmap)["x"]
    return saved


def safetensors(packed: torch.Tensor, path: Path) -> torch.Tensor:
    files = pytest.importorskip("safetensors.torch", reason="needs the accelerate extra")
    files.save_file({"x": packed}, path)
    saved: torch.Tensor = files.load_file(path)["x"]
    return saved


@pytest.mark.parametrize("way", [torch_save, partial(torch_save, mmap=True), safetensors])
def test_files_hold_the_same(way: Any, tmp_path: Path) -> None:
    assert bits(unpack(way(pack(STATE), tmp_path / "x"))) == bits(STATE)


@pytest.mark.parametrize(
    "way",
    [
        torch.Tensor.cpu,
        torch.Tensor.clone,
        torch.nn.Parameter,
        copy.deepcopy,
        lambda packed: pickle.loads(pickle.dumps(packed)),
        lambda packed: torch.tensor(packed.tolist(), dtype=torch.float64),
        lambda packed: packed[:, None].repeat(1, 2)[:, 0],
        lambda packed: 0.9 * packed + 0.1 * packed,
    ],
)
def test_copies_of_every_kind_hold_the_same(way: Any) -> None:
    assert bits(unpack(way(pack(STATE)))) == bits(STATE)


OTHER = {**STATE, "mean": [0.2, 1.0, 2.0, 3.0]}


def average_in_place(packed: torch.Tensor) -> torch.Tensor:
    return packed.copy_(0.9 * packed + 0.1 * pack(OTHER))


@pytest.mark.parametrize(
    ("change", "happened"),
    [
        (torch.Tensor.half, r"was cast to torch\.float16"),
        (torch.Tensor.bfloat16, r"was cast to torch\.bfloat16"),
        (torch.Tensor.long, r"was cast to torch\.int64"),
        (lambda packed: packed.float().double(), "was averaged or otherwise changed"),
        (lambda packed: packed.half().double(), "was averaged or otherwise changed"),
        (average_in_place, "was averaged or otherwise changed"),
        (torch.zeros_like, "was averaged or otherwise changed"),
        (lambda packed: torch.full_like(packed, math.nan), "was averaged or otherwise changed"),
        (lambda packed: packed[:-1], "was cut to"),
        (lambda packed: packed[:2], "was cut to 2 numbers"),
        (lambda packed: packed[:0], "was averaged or otherwise changed"),
        (lambda packed: packed.to("meta"), "has no numbers on meta"),
        (unpack, "must be a tensor, got dict"),
    ],
)
def test_what_happened_to_a_state_is_said(change: Any, happened: str) -> None:
    with pytest.raises(ValueError, match=happened) as caught:
        unpack(change(pack(STATE)))

    assert "strict=False" in str(caught.value)


@given(st.data())
def test_every_single_change_is_noticed(data: st.DataObject) -> None:
    packed = pack({"mean": [0.1, 0.2], "name": "kl"})
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] += data.draw(st.sampled_from([-1, 1, 256, 2.0**40, math.nan, -math.inf]))

    with pytest.raises(ValueError, match="the saved state of the losses"):
        unpack(packed)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [{1, 2}]}, TypeError, r"the state\['a'\]\[0\] must be None.*got set"),
        ({(1, 2): 3}, TypeError, r"keys that are strings or numbers, got \(1, 2\)"),
        (np.array(["x"], dtype=object), TypeError, "got ndarray"),
        (torch.eye(2).to_sparse(), TypeError, "dense tensor.*got Tensor"),
        ({"n": -(2**143)}, ValueError, r"the state\['n'\] .* at most 143 bits, got one of 144"),
    ],
)
def test_what_no_state_can_hold_is_named(value: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        pack(value)
