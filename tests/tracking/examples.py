"""What is recorded where no run is needed for it."""

COMPONENTS = ("dataset", "model", "compression", "prompt", "encoder")
CONFIG = {name: {"name": "x"} for name in COMPONENTS} | {"seed": 0, "baselines": []}
ENVIRONMENT = {"brainexp": "0", "git_commit": None, "packages": {"numpy": "2"}}
