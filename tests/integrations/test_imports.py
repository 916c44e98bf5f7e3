from __future__ import annotations

import subprocess
import sys

FRAMEWORKS = {"accelerate", "ignite", "lightning", "pytorch_lightning", "transformers"}


def test_a_framework_is_loaded_by_its_own_integration_alone() -> None:
    code = (
        "import sys, multi_loss_weighting, multi_loss_weighting.integrations;"
        f"print({FRAMEWORKS} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_without_lightning_its_integration_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules.update({'lightning': None, 'pytorch_lightning': None});"
        "import multi_loss_weighting.integrations.lightning"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.endswith("pip install 'multi-loss-weighting[lightning]'\n")
