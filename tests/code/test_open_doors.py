"""Nothing pickled goes in or out, and no HTTP route is added without somebody having decided who may call it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(p for room in ("components", "flows", "infra") for p in (ROOT / room).rglob("*.py"))

# (file, route): who may call it, and what makes sure of that. A route that is not here fails the test.
DECIDED: dict[tuple[str, str], str] = {}

ADDS = {"get", "post", "put", "patch", "delete", "head", "options", "route", "websocket", "api_route", "mount",
        "add_api_route", "add_route", "add_websocket_route", "add_url_rule", "add_get", "add_post", "add_put",
        "add_delete", "add_static", "Route", "Mount", "WebSocketRoute", "Rule"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def routes(source: str) -> Iterator[str]:
    """Every HTTP route that a source adds: by a decorator or call that names a path, or by a handler's do_ method."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            paths = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if name in ADDS and any(p.startswith("/") for p in paths):
                yield f"{name} {next(p for p in paths if p.startswith('/'))}"
        elif isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{f.name}" for f in node.body
                        if isinstance(f, ast.FunctionDef) and f.name.startswith("do_") and f.name[3:].isupper())


def unpickles(source: str) -> Iterator[str]:
    """What in a source reads or writes pickles."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            yield from (n for n in names if n.partition(".")[0] in PICKLES)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words = {k.arg: ast.unparse(k.value) for k in node.keywords}
            call = ast.unparse(node.func)
            if words.get("allow_pickle") == "True" or call in ("pd.read_pickle", "pandas.read_pickle") or (
                    call == "torch.load" and words.get("weights_only") != "True"):
                yield ast.unparse(node)


@pytest.mark.parametrize(("source", "found"), [
    ("@app.get('/models')\ndef f(): ...", ["get /models"]),
    ("@router.api_route('/x', methods=['POST'])\nasync def f(): ...", ["api_route /x"]),
    ("app.router.add_post('/run', f)", ["add_post /run"]),
    ("routes = [Route('/a', f), Mount('/static', files)]", ["Route /a", "Mount /static"]),
    ("class H(BaseHTTPRequestHandler):\n def do_GET(self): ...\n def do_nothing(self): ...", ["H.do_GET"]),
    ("settings.get('name'); session.get(url)", []),
])
def test_routes_are_found(source, found):
    assert list(routes(source)) == found


def test_every_route_has_an_authorisation_decision():
    added = {(p.relative_to(ROOT).as_posix(), route) for p in FILES for route in routes(p.read_text("utf-8"))}
    assert added - DECIDED.keys() == set(), "decide who may call it, and write that into DECIDED"
    assert DECIDED.keys() - added == set(), "such a route is not there any more"
    assert all(len(words) > 20 for words in DECIDED.values())


@pytest.mark.parametrize(("source", "found"), [
    ("import pickle", 1), ("from joblib import load", 1), ("np.load(f, allow_pickle=True)", 1),
    ("torch.load(f)", 1), ("torch.load(f, weights_only=True)", 0), ("np.load(f, allow_pickle=False)", 0)])
def test_pickles_are_found(source, found):
    assert len(list(unpickles(source))) == found


def test_no_source_reads_or_writes_pickles():
    found = {f"{p.relative_to(ROOT)}: {what}" for p in FILES for what in unpickles(p.read_text("utf-8"))}
    assert found == set()


def test_every_flow_keeps_no_result_or_keeps_it_as_json():
    for path in (ROOT / "flows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in (ast.unparse(d) for d in node.decorator_list):
                if mark == "flow" or mark.startswith("flow("):
                    kept = "persist_result=False" in mark or "result_serializer='json'" in mark
                    assert kept, f"{path.name}: {node.name} would keep its result as a pickle"


def test_prefect_is_told_to_keep_results_as_json():
    from flows.server import QUIET

    script = "from prefect.results import get_default_result_serializer as g; print(g().type)"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | QUIET, capture_output=True, text=True)
    assert done.stdout.split() == ["json"], done.stderr[-800:]


def test_mlflow_loads_no_pickled_model(tmp_path):
    """A model that holds a pickle is saved by a process of another mind, and refused by ours."""
    saving = ("import sys, mlflow\n"
              "class M(mlflow.pyfunc.PythonModel):\n"
              "    def predict(self, context, model_input): return model_input\n"
              "mlflow.pyfunc.save_model(sys.argv[1], python_model=M(), pip_requirements=[])\n")
    loading = ("import sys, components.registry\nimport mlflow\n"
               "from mlflow.exceptions import MlflowException\n"
               "try: mlflow.pyfunc.load_model(sys.argv[1])\n"
               "except MlflowException as error: print('refused:', error)\n"
               "else: print('loaded')\n")
    where = str(tmp_path / "model")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", saving, where], env=environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION":
                   "true"}, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert list((tmp_path / "model").rglob("*.pkl"))
    done = subprocess.run([sys.executable, "-c", loading, where], env=environment, capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.stdout.startswith("refused:") and "pickle" in done.stdout.lower(), done.stdout + done.stderr[-800:]
