"""The servers of infra/compose, run here without containers: PostgreSQL, Swift's S3, MLflow, Prefect and a worker.

Commands and settings are those of the compose file; only host names, ports and the number of MLflow's workers differ.
"""

import base64
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import composed
import psutil
import psycopg2
import pytest

from components.pipeline.plan import make
from flows.server import free_port
from infra.servers import secrets

ROOT = Path(__file__).parents[2]
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=Path(shutil.which("initdb") or "")).resolve()
TINY = ("draw.total_train=210", "draw.dev_per_verb=2", "draw.test_per_verb=2", "draw.pseudo_per_verb=2",
        "draw.unseen_per_verb=2")
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not os.environ.get("FOVEATE_TEST_SERVERS"),
                                 reason="takes two minutes of a core: `make test-servers` runs it"),
              pytest.mark.skipif(PROGRAMS.name != "initdb", reason="PostgreSQL's programs are not installed here")]


class Servers:
    """Processes of the compose file's services, each killed and begun again at will, on one folder."""

    def __init__(self, folder: Path):
        self.folder, self.running = folder, {}
        self.ports = {name: free_port() for name in ("postgres", "store", "prefect", "mlflow")}
        drawn = {name: f"drawn-for-{name}" for name in secrets.NAMES}
        self.secrets = drawn | {"STORE_KEY_ID": "foveate:store", "FOVEATE_DOMAIN": "example.org",
                                "FOVEATE_TLS": "internal"}
        self.services = composed.services(self.secrets)
        self.base = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "AWS", "PG"))}
        self.base |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "HOME": str(folder),
                      "PREFECT_HOME": str(folder / "prefect"), "FOVEATE_HOME": str(folder / "state"),
                      "DO_NOT_TRACK": "1", "PATH": f"{PROGRAMS.parent}{os.pathsep}{os.environ['PATH']}"}

    def local(self, text: str) -> str:
        for name, port in (("store", 7070), ("prefect", 4200), ("mlflow", 5000)):
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[name]}")
        return text.replace("/app/", f"{ROOT}/")

    def environment(self, service: str) -> dict[str, str]:
        settings = {k: self.local(v) for k, v in self.services[service].get("environment", {}).items()}
        if "PGHOST" in settings:
            settings |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["postgres"])}
        return self.base | settings

    def start(self, name: str) -> None:
        command = list(self.services[name].get("command", ()))
        if name == "postgres":
            return self._start_postgres()
        if name == "store":
            command = ["swift_store", str(self.folder / "objects"), str(self.ports["store"])]
            (self.folder / "objects").mkdir(exist_ok=True)
        swapped = {"0.0.0.0": "127.0.0.1", "4200": str(self.ports["prefect"]), "5000": str(self.ports["mlflow"])}
        command = [swapped.get(word, word) for word in command]
        if "--workers" in command:
            command[command.index("--workers") + 1] = "1"
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(os.getpid()), *command], cwd=ROOT, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment(name) | (self.secrets if name == "store" else {}))
        return None

    def _start_postgres(self) -> None:
        data = self.folder / "postgres"
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())  # it refuses to run as root
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        if not data.exists():
            data.mkdir()
            password = self.folder / "password"
            password.write_text(self.secrets["POSTGRES_PASSWORD"])
            for path in (data, password):
                os.chown(path, user.pw_uid, user.pw_gid)
            options = self.services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
            subprocess.run([PROGRAMS, "--pgdata", data, "--username", "postgres", "--pwfile", password, "--no-sync",
                            *options], check=True, capture_output=True, cwd="/", **who)
        with open(self.folder / "postgres.log", "ab") as log:
            self.running["postgres"] = subprocess.Popen(
                [PROGRAMS.with_name("postgres"), "-D", data, "-p", str(self.ports["postgres"]), "-h", "127.0.0.1",
                 "-k", "", "-c", "fsync=off"], cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **who)

    def kill(self, name: str) -> None:
        """Ends a service hard, with all that it started: the worker's flow runs are groups of their own."""
        process = self.running.pop(name)
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                one.kill()
        process.wait(60)

    def act(self, service: str, *command: str) -> subprocess.CompletedProcess:
        """A service that ends by itself, run to its end."""
        return subprocess.run([sys.executable, *(command or self.services[service]["command"][1:])], cwd=ROOT,
                              env=self.environment(service), capture_output=True, text=True, timeout=600)

    def until(self, holds, what: str, seconds: float = 600):
        """The first true value of `holds()`."""
        deadline = time.monotonic() + seconds
        while not (value := holds()):
            for name, process in self.running.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{what} did not come:\n" + "\n".join(map(self.log, self.running))
            time.sleep(0.3)
        return value

    def log(self, name: str) -> str:
        return f"== {name}\n" + (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def call(self, server: str, path: str, body: dict | None = None, password: str | None = None) -> dict:
        """One request with the credentials of the environment (or another password; "": none)."""
        password = self.secrets[f"{server.upper()}_PASSWORD"] if password is None else password
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[server]}{path}",
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if password:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"foveate:{password}".encode()).decode())
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.loads(answer.read() or b"null")

    def refused(self, server: str, path: str, password: str) -> bool:
        try:
            self.call(server, path, password=password)
        except urllib.error.HTTPError as error:
            return error.code == 401
        return False

    def answers(self, server: str) -> bool:
        path = {"prefect": "/api/health", "mlflow": "/health"}[server]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[server]}{path}", timeout=5):
                return True
        except OSError:
            return False

    def begin(self, name: str) -> dict[str, str]:
        """Has the worker run the pipeline up to its image features; the ids of the flow run and of MLflow's run."""
        experiment = self.call("mlflow", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=foveate")
        created = self.call("mlflow", "/api/2.0/mlflow/runs/create", {
            "experiment_id": experiment["experiment"]["experiment_id"], "run_name": name})
        plan = asdict(make(fast=True, changes=TINY))
        parameters = {"plan": plan, "run": created["run"]["info"]["run_id"], "until": "ingest"}
        begun = self.call("prefect", f"/api/deployments/{self.deployment}/create_flow_run", {
            "parameters": parameters, "state": {"type": "SCHEDULED"}})
        return {"flow_run": begun["id"], "mlflow_run": parameters["run"]}

    def ended(self, flow_run: str) -> str:
        """The last state of a flow run; "" while it goes on, or where a server that starts or is busy cannot say."""
        try:
            state = self.call("prefect", f"/api/flow_runs/{flow_run}")["state"]["type"]
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
            return ""
        return state if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else ""

    def deploy(self) -> None:
        self.call("prefect", "/api/work_pools/", {"name": "foveate", "type": "process"})
        flow = self.call("prefect", "/api/flows/", {"name": "foveate"})
        self.deployment = self.call("prefect", "/api/deployments/", {
            "name": "servers", "flow_id": flow["id"], "entrypoint": "flows/pipeline.py:pipeline", "path": str(ROOT),
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
            "work_pool_name": "foveate", "enforce_parameter_schema": False})["id"]
        self.call("mlflow", "/api/2.0/mlflow/experiments/create", {"name": "foveate"})


@pytest.fixture(scope="module")
def servers():
    with tempfile.TemporaryDirectory(prefix="foveate-servers-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as somebody else
        up = Servers(folder)
        try:
            up.start("postgres")
            up.start("store")
            up.until(lambda: up.act("prepare").returncode == 0, "databases and buckets")
            for server in ("prefect", "mlflow"):
                up.start(server)
            for server in ("prefect", "mlflow"):
                up.until(lambda server=server: up.answers(server), server)
            up.deploy()
            up.start("worker")
            yield up
        finally:
            for one in list(up.running):
                up.kill(one)


@pytest.mark.parametrize("server, path", [("prefect", "/api/csrf-token?client=a"), ("prefect", "/api/admin/version"),
                                          ("mlflow", "/api/2.0/mlflow/experiments/get?experiment_id=0")])
def test_nobody_is_served_without_the_password(servers, server, path):
    for password in ("password", "password1234", "drawn-for-nothing"):
        assert servers.refused(server, path, password)
    assert servers.refused(server, path, "")


def test_a_server_enters_no_database_but_its_own(servers):
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(host="127.0.0.1", port=servers.ports["postgres"], dbname="mlflow", user="prefect",
                         password=servers.secrets["PREFECT_DB_PASSWORD"])


def test_the_pipeline_runs_twice_with_servers_killed_in_between(servers):
    first = servers.begin("first")
    assert servers.until(lambda: servers.ended(first["flow_run"]), "the first run") == "COMPLETED"

    backup = servers.act("backup", "-m", "infra.servers.backup", "save", str(servers.folder / "backups"))
    assert backup.returncode == 0, backup.stderr
    for name in ("prefect", "postgres"):
        servers.kill(name)
    gone = servers.act("prepare")  # says in a word that the database is gone
    assert gone.returncode == 1 and gone.stderr.startswith("error: ") and "Traceback" not in gone.stderr
    servers.start("postgres")
    servers.until(lambda: servers.act("prepare").returncode == 0, "the database")
    servers.start("prefect")
    servers.until(lambda: servers.answers("prefect"), "Prefect")

    assert servers.until(lambda: servers.ended(first["flow_run"]), "the first run") == "COMPLETED"  # nothing was lost
    second = servers.begin("second")  # the worker has waited for its server
    assert servers.until(lambda: servers.ended(second["flow_run"]), "the second run") == "COMPLETED"
    check_records(servers, first, second)
    check_restore(servers, Path(backup.stdout.split()[1]), first, second)


def check_records(servers, first, second):
    """MLflow's runs are in PostgreSQL, its artifacts and DVC's files in the store."""
    for run in (first, second):
        query = f"tags.`mlflow.parentRunId` = '{run['mlflow_run']}'"
        search = {"experiment_ids": ["1"], "filter": query}
        found = servers.call("mlflow", "/api/2.0/mlflow/runs/search", search)["runs"]
        assert {"ingest", "quality gate"} <= {r["info"]["run_name"] for r in found}
        assert all(r["info"]["status"] == "FINISHED" for r in found)
    assert len(keys(servers, "mlflow")) > 2 and len(keys(servers, "dvc")) > 2


def check_restore(servers, backup, first, second):
    """A backup brings back what was there when it was taken, and refuses to when a byte of it is wrong."""
    damaged = shutil.copytree(backup, servers.folder / "damaged")
    with open(damaged / "mlflow.dump", "r+b") as stream:
        stream.seek(100)
        byte = stream.read(1)[0]
        stream.seek(100)
        stream.write(bytes([byte ^ 1]))
    refused = servers.act("backup", "-m", "infra.servers.backup", "restore", str(damaged))
    assert refused.returncode == 1 and "mlflow.dump: is not what was saved" in refused.stderr
    for name in ("worker", "prefect", "mlflow"):
        servers.kill(name)
    done = servers.act("backup", "-m", "infra.servers.backup", "restore", str(backup))
    assert done.returncode == 0, done.stderr
    servers.start("mlflow")
    servers.until(lambda: servers.answers("mlflow"), "MLflow")
    path = "/api/2.0/mlflow/runs/get?run_id="
    assert servers.call("mlflow", path + first["mlflow_run"])["run"]["info"]["run_name"] == "first"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        servers.call("mlflow", path + second["mlflow_run"])


def keys(servers, bucket: str) -> list[str]:
    script = ("import sys\nfrom infra.servers.prepare import store\n"
              "found = store().list_objects_v2(Bucket=sys.argv[1]).get('Contents', ())\n"
              "print(*[o['Key'] for o in found], sep='\\n')\n")
    done = servers.act("prepare", "-c", script, bucket)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
