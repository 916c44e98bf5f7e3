"""The methods of TorchJD, a library of scalarizations and of gradient aggregators."""

from ._weighting import TorchJDWeighting as TorchJDWeighting
