"""The files that bring up real servers: valid by their schemas, closed by default, and telling the same story."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import composed
import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from kubernetes.client import ApiClient

from components.base.errors import UserError
from infra.servers import secrets

INFRA = Path(__file__).parents[2] / "infra"
VARIABLES = {name: f"value-of-{name}" for name in secrets.NAMES} | {"FOVEATE_DOMAIN": "example.org",
                                                                    "FOVEATE_TLS": "internal"}
SERVICES = composed.services(VARIABLES)
SHORT = {"volumes", "prepare", "backup"}  # they end by themselves
MANIFESTS = [m for f in sorted((INFRA / "kubernetes").glob("*.yaml")) for m in yaml.safe_load_all(f.read_text())
             if m["kind"] != "Kustomization"]
SECRET = re.compile("PASSWORD|SECRET|KEY|AUTH_STRING")


def pods() -> dict[str, dict]:
    found = {}
    for manifest in MANIFESTS:
        spec = manifest["spec"].get("jobTemplate", manifest).get("spec", {}) if "spec" in manifest else {}
        if "template" in spec:
            found[manifest["metadata"]["name"]] = spec["template"]["spec"]
    return found


PODS = pods()


# Compose --------------------------------------------------------------------------------------------------------


def test_the_compose_file_is_valid_by_the_specifications_schema():
    whole = yaml.safe_load(composed.FILE.read_text())
    schema = get_builtin_schema("vendor.compose-spec")
    jsonschema.validate(whole, schema)
    whole["services"]["store"]["imgae"] = whole["services"]["store"].pop("image")
    with pytest.raises(jsonschema.ValidationError, match="imgae"):  # the check sees what it is meant to see
        jsonschema.validate(whole, schema)


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_nothing_starts_without_every_secret(name):
    with pytest.raises(LookupError, match=f"{name} is missing"):
        composed.services({k: v for k, v in VARIABLES.items() if k != name})


def test_no_password_is_written_down():
    for name, service in yaml.safe_load(composed.FILE.read_text())["services"].items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and key != "OPENAI_API_KEY":
                assert ":?is missing" in value, f"{name}: {key} has a value of its own"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_can_do_little(name):
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert not service["image"].endswith(":latest") and ":" in service["image"]


def test_only_the_proxy_is_reached_from_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in SERVICES.items() if "outside" in service["networks"]] == ["worker", "proxy"]
    assert yaml.safe_load(composed.FILE.read_text())["networks"]["inside"]["internal"] is True


def test_what_serves_is_watched_and_started_in_order():
    for name, service in SERVICES.items():
        if name not in SHORT | {"worker"}:
            assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys(), name
        for needed, how in service.get("depends_on", {}).items():
            fits = "service_completed_successfully" if needed in SHORT else "service_healthy"
            assert how["condition"] == fits, f"{name} on {needed}"


def test_the_proxy_is_configured_soundly(tmp_path):
    caddy = shutil.which("caddy")
    if not caddy:
        pytest.skip("Caddy is not installed here")
    for tls in ("internal", "someone@example.org"):
        done = subprocess.run([caddy, "validate", "--adapter", "caddyfile", "--config", INFRA / "compose/Caddyfile"],
                              env={"FOVEATE_DOMAIN": "example.org", "FOVEATE_TLS": tls, "HOME": str(tmp_path)},
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


# Kubernetes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: f"{m['kind']} {m['metadata']['name']}")
def test_a_manifest_is_what_the_kubernetes_api_takes(manifest):
    """Through the models of the official client and back: a wrong, misplaced or missing field does not survive."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    assert group in ("", "apps", "batch", "networking.k8s.io")
    client = ApiClient()
    model = client._ApiClient__deserialize(manifest, f"{version.capitalize()}{manifest['kind']}")
    assert client.sanitize_for_serialization(model) == manifest


def test_a_wrong_manifest_would_be_seen():
    client = ApiClient()
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"selectors": {"app": "a"}}}
    assert client.sanitize_for_serialization(client._ApiClient__deserialize(wrong, "V1Service")) != wrong


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_fits_the_restricted_standard(name):
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}
        assert {"limits", "requests"} == container["resources"].keys()
        for variable in container["env"]:
            if SECRET.search(variable["name"]) and "$(" not in variable.get("value", ""):
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "secrets", variable
    if name not in ("worker", "backup"):
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= pod["containers"][0].keys()


def test_both_ways_say_the_same():
    for name, pod in PODS.items():
        container, service = pod["containers"][0], SERVICES[name]
        there = {v["name"]: v for v in container["env"]}
        assert there.keys() - {"PREFECT_PASSWORD"} == service["environment"].keys(), name
        for key, value in service["environment"].items():
            said = there[key].get("value", "$(")
            assert "$(" in said or said == value, f"{name}: {key}"
        assert (container.get("command") or container.get("args")) == service.get("command"), name
        if container["image"] != "foveate":
            assert container["image"] == service["image"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed here")
def test_kustomize_renders_only_with_secrets(tmp_path):
    folder = Path(shutil.copytree(INFRA / "kubernetes", tmp_path / "kubernetes",
                                  ignore=shutil.ignore_patterns("secrets.env")))
    render = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(render, capture_output=True, text=True, timeout=60)
    assert done.returncode and "secrets.env" in done.stderr
    secrets.draw(folder / "secrets.env")
    done = subprocess.run(render, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(MANIFESTS) + 2
    secret, = (m for m in rendered if m["kind"] == "Secret")
    assert set(secret["data"]) == set(secrets.NAMES)
    drawn = set(dict(line.split("=", 1) for line in (folder / "secrets.env").read_text().split()).values())
    assert not any(value in done.stdout for value in drawn)  # encoded in the secret, and nowhere else


# The rest -------------------------------------------------------------------------------------------------------


def test_secrets_are_drawn_once_and_for_their_owner(tmp_path):
    file = tmp_path / ".env"
    secrets.draw(file)
    drawn = dict(line.split("=", 1) for line in file.read_text().split())
    assert tuple(drawn) == secrets.NAMES and len(set(drawn.values())) == len(drawn)
    assert min(map(len, drawn.values())) >= 32 and stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="there are secrets already"):
        secrets.draw(file)
    assert dict(line.split("=", 1) for line in file.read_text().split()) == drawn


def test_servers_say_what_they_miss():
    done = subprocess.run([sys.executable, "-m", "infra.servers.backup", "svae"], capture_output=True, text=True,
                          cwd=INFRA.parent, timeout=60)
    assert done.returncode == 1 and "save FOLDER" in done.stderr and "Traceback" not in done.stderr


def test_the_image_runs_as_nobody_in_particular():
    lines = (INFRA / "image" / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000:1000"]
    ignored = (INFRA / "image" / "Dockerfile.dockerignore").read_text().split()
    assert {"**/.env", "**/secrets.env", ".git"} <= set(ignored)
