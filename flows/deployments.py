"""Registers the deployments of prefect.yaml with a Prefect server: `foveate up` with that of the stack, and
`python -m flows.deployments [FILE]` with that of PREFECT_API_URL.

`prefect deploy --all` reads the same file, but ends after the first where the server takes no null for a number, as it
does under the newest FastAPI.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from components.base.artifacts import code_version, digest, write_json
from components.base.errors import PipelineError, UserError
from components.base.home import state
from components.pipeline import growth, retraining
from flows import stack
from flows.server import prefect_api

FILE = Path(__file__).parents[1] / "prefect.yaml"


def read(file: Path = FILE) -> list[dict[str, Any]]:
    """The deployments that a file declares. Raises UserError for one that is missing or declares none."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
        found = content["deployments"]
        named = [d["name"] for d in found]
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file),
                        mend="give one with `foveate up --deployments FILE`") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"declares no deployments ({error})", where=str(file), mend="see prefect.yaml") from error
    if len(set(named)) < len(named):
        raise UserError("two deployments have one name", where=str(file), mend="name each once")
    return found


def register_on_stack(file: Path = FILE) -> list[str]:
    """Makes the stack's deployments those of the file, where it or the flows have changed; returns their names."""
    names = [d["name"] for d in read(file)]
    mark, key = state("stack") / "deployments.json", digest([file.read_text("utf-8"), code_version("flows")])
    present = {d["name"]: d["id"] for d in stack.call("/deployments/filter", {})}
    for name in present.keys() - set(names):
        stack.call(f"/deployments/{present[name]}", None, method="DELETE")
    if not (present.keys() >= set(names) and mark.exists() and json.loads(mark.read_text()) == key):
        with prefect_api():
            register(file)
        write_json(mark, key)
    return names


def register(file: Path = FILE) -> None:
    """Registers all on the Prefect server in use. Raises PipelineError where it refuses one."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import DeploymentTriggerTypes
    from prefect.schedules import Schedule
    from pydantic import TypeAdapter

    for one in read(file):
        try:
            timed = [s | {"interval": timedelta(seconds=s["interval"])} if "interval" in s else s
                     for s in one.get("schedules", ())]
            limit = ConcurrencyLimitConfig(**one["concurrency_limit"]) if "concurrency_limit" in one else None
            triggers = [TypeAdapter(DeploymentTriggerTypes).validate_python(t) for t in one.get("triggers", ())]
            made = RunnerDeployment.from_entrypoint(
                one["entrypoint"], one["name"], schedules=[Schedule(**s) for s in timed], triggers=triggers,
                concurrency_limit=limit, parameters=one.get("parameters"),
                description=one.get("description"), tags=one.get("tags"), work_pool_name=one["work_pool"]["name"],
                job_variables=one["work_pool"].get("job_variables"))
            made._path = None  # a worker would copy the whole present folder for each run
            made.apply()
        except Exception as error:  # of the file, of a flow that cannot be imported, of the server
            raise PipelineError(f"{file}: deployment '{one['name']}' cannot be registered: {error}") from error


def take_up() -> None:
    """Starts a retraining where the newest version of a dataset was not retrained on: while no stack was up, versions
    may have come, and a retraining may have been stopped.
    """
    newest = {name: growth.newest(name).version for name in growth.names()}
    left = [name for name, version in newest.items()
            if not any(a.version == version and a.outcome in retraining.DONE for a in retraining.attempts(name))]
    for found in stack.call("/deployments/filter", {"deployments": {"name": {"any_": ["retraining"]}}}) if left else ():
        stack.call(f"/deployments/{found['id']}/create_flow_run", {"parameters": {"dataset": retraining.EVERY}})


if __name__ == "__main__":
    register(*map(Path, sys.argv[1:]))
