"""What a run folder knows about one backend: a folder in it, named after the backend.

runs/gan/mlflow-58453a7e/delivered.jsonl    whose rows a `Background` delivers, and which arrived
runs/gan/mlflow-58453a7e/undelivered.jsonl  rows that the backend did not take during the run
runs/gan/mlflow-58453a7e/sender.lock        held by that `Background` while it lives
runs/gan/mlflow-58453a7e/sent.json          how far `sync` came
runs/gan/.sync-mlflow.lock                  held by a `sync` to such a backend while it works

While rows go to a file of undelivered ones, `undelivered.jsonl.lock` beside it is held; elsewhere,
too. A second `Background` for the same backend, at the same time, has files with a number.
"""
