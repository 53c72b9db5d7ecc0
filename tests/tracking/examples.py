"""What is recorded where no run is needed for it."""

COMPONENTS = ("dataset", "model", "compression", "prompt", "encoder")
CONFIG = {name: {"name": "x"} for name in COMPONENTS} | {"seed": 0, "baselines": []}
ENVIRONMENT = {"brainexp": "0", "git_commit": None, "packages": {"numpy": "2"}}


def counted(client, experiment="brainexp"):
    """How many runs, parameters, tags, points and artifacts an experiment holds in all."""
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    return {
        "runs": len(found),
        "finished": sum(one.info.status == "FINISHED" for one in found),
        "params": sum(len(one.data.params) for one in found),
        "metrics": sum(len(one.data.metrics) for one in found),
    }
