"""What runs, what ran, and which students are champions: the answer to `foveate status`."""

import json
import os
from collections.abc import Iterator
from typing import Any

from components.base.home import home
from flows import stack

RUNS = 10  # of the newest flow runs


def status() -> dict[str, Any]:
    """Processes with their health, datasets, champions and the last runs of flows, as plain JSON."""
    from components.pipeline import growth

    services = dict(_services(stack.described(), stack.is_up()))
    sets = [growth.told(growth.newest(name)) for name in growth.names()]
    return {"home": str(home()), "up": stack.is_up(), "services": services, "datasets": sets,
            "champions": _champions(), "runs": _runs() if services["prefect"]["healthy"] else []}


def shown(told: dict[str, Any]) -> str:
    """The same for a reader."""
    lines = [f"stack     {'up' if told['up'] else 'down'}"]
    for name, one in told["services"].items() if told["up"] else ():
        again = f", started again {one['restarts']} times" if one["restarts"] else ""
        lines.append(f"{name:<9} {'healthy' if one['healthy'] else 'away'}{again}  {one.get('address', '')}".rstrip())
    for one in told["datasets"]:
        lines.append(f"dataset   {one['name']}: {one['images']:,} images, version {one['version'][:12]} of {one['at']}")
    for one in told["champions"]:
        scores = ", ".join(f"{name} {100 * value:.1f}" for name, value in one["headline"].items())
        lines.append(f"champion  version {one['version']} of {one['model']}: {scores}")
    for one in told["runs"]:
        said = f"{one['state']:<14} {one['name']}  {one['message'] or ''}"
        lines.append(f"run       {one['began'][:19]}  {said}".rstrip())
    return "\n".join(lines)


def _services(told: dict[str, Any], running: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("prefect", "mlflow", "worker"):
        named, ports = told.get("services", {}).get(name, {}), told.get("ports", {})
        well = running and bool(ports) and (stack.worker_online(ports) if name == "worker"
                                            else stack.healthy(name, ports))
        one = {"pid": int(named["pid"]) if running and stack.alive(named) else None, "healthy": well,
               "restarts": int(named.get("restarts", 0))}
        yield name, one | ({"address": f"http://127.0.0.1:{ports[name]}"} if running and name in ports else {})


def _runs() -> list[dict[str, Any]]:
    """The newest flow runs that nobody but a person, a schedule or an event has started."""
    asked = {"sort": "START_TIME_DESC", "limit": RUNS, "flow_runs": {"parent_task_run_id": {"is_null_": True},
                                                                     "start_time": {"is_null_": False}}}
    return [{"name": r["name"], "state": r["state_name"], "message": (r["state"] or {}).get("message"),
             "began": r["start_time"], "id": r["id"]} for r in stack.call("/flow_runs/filter", asked)]


def _champions() -> list[dict[str, Any]]:
    """The champion of every recipe that has one."""
    if not (home() / "mlflow" / "mlflow.db").exists() and not os.environ.get("MLFLOW_TRACKING_URI"):
        return []
    from components import recipes
    from components.registry import models

    found = [models.champion(models.model_name(recipe)) for recipe in recipes.NAMES]
    return [{"model": v.name, "version": v.number, "headline": json.loads(v.tags.get("headline", "{}"))}
            for v in found if v]
